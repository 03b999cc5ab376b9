//! What hosts need to know about `vmferry-load`, the program inside test guests: the text that says
//! which load to make ([`spec`]) and the lines it reports on the console ([`report`]).
//!
//! The program itself runs `SPEC` as an ordinary command, or as PID 1 of a guest, where it takes the
//! load from the kernel command line:
//!
//! | on the command line | meaning | default |
//! |---|---|---|
//! | `vmferry.load=SPEC` | the load | `idle` |
//! | `vmferry.ip=ADDRESS/PREFIX` | IPv4 address of the first Ethernet card | none |
//! | `vmferry.gw=ADDRESS` | default gateway | none |
//! | `vmferry.report=DEVICE` | where to report: `ttyS0`, `hvc0` | `ttyS0` |
//!
//! As PID 1 it mounts `/proc`, `/sys` and `/dev`, loads the modules named in `/modules/order` (one file
//! name a line, below `/modules`), and serves echo on port 7, TCP and UDP. With a bad load it says
//! so on the console and stays up, idle.
//!
//! For `program:NAME` it mounts the disk with the serial number [`spec::PROGRAMS_SERIAL`], runs
//! `/programs/NAME` of that disk with the disk as root (`/tmp`, `/run` and `/dev/shm` lie in memory),
//! and says `up` once the program has made its data. For `service:NAME` it does the same with the disk
//! of the serial number [`spec::SERVICE_SERIAL`], which it also writes, and `/services/NAME`.
//!
//! # Pacing
//! A limited writer works in batches of at most 1 ms worth (at least one page) and sleeps until the
//! next is due. After a pause it makes up for at most 20 ms: the rest of the missed work is never
//! done. So a long freeze is followed by no burst, and is seen as lost work.
//!
//! # Grammar of a load
//! ```text
#![doc = include_str!("spec/grammar.txt")]
//! ```

pub mod report;
pub mod spec;
