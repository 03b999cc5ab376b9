//! What a TCP connection's other end has acknowledged, from the kernel: unlike a count kept by the
//! receiving thread, it does not lag when this host is busy.

use std::io;
use std::mem::size_of;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// Place of `tcpi_bytes_acked` in the kernel's `struct tcp_info` (`linux/tcp.h`, since Linux 4.1):
/// eight bytes, 24 words and two rates come before it.
const OFFSET: usize = 8 + 24 * size_of::<u32>() + 2 * size_of::<u64>();

/// Bytes that have arrived at the other end.
#[expect(unsafe_code, reason = "no safe call reads this option whole")]
pub(super) fn acknowledged(stream: &TcpStream) -> io::Result<u64> {
    let mut info = [0u8; OFFSET + size_of::<u64>()];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: `info` and `length` outlive the call, and `length` is the size of `info`, which the
    // kernel does not write beyond.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    match info.last_chunk() {
        Some(count) if length as usize == info.len() => Ok(u64::from_ne_bytes(*count)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn counts_what_the_other_end_has() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        here.write_all(&[7; 12_345]).unwrap();
        there.read_exact(&mut [0; 12_345]).unwrap();
        // The answer carries the acknowledgement with it.
        there.write_all(b"x").unwrap();
        here.read_exact(&mut [0]).unwrap();
        // Connecting counts as one byte in the kernel's books.
        let count = acknowledged(&here).unwrap();
        assert!((12_345..=12_346).contains(&count), "{count}");
    }
}
