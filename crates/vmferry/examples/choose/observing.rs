//! What observing all eight guests at once takes, by the CPU time of this whole
//! process against the clock on the wall.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use vmferry::choosing::HOST_BUDGET;

use crate::Fault;
use crate::site::{Site, WINDOW};

/// Looks at all guests; the median counts.
const LOOKS: usize = 3;

/// Linux counts CPU time for user programs in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// An instant, and the CPU time of this process until then.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
}

impl Mark {
    fn now() -> Result<Self, Fault> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        Ok(Self {
            at: Instant::now(),
            cpu: cpu_time(&stat).ok_or("/proc/self/stat has no CPU times")?,
        })
    }

    /// Share of one core since then.
    fn share_until(&self, end: &Self) -> f64 {
        let cpu = end.cpu.saturating_sub(self.cpu);
        cpu.as_secs_f64() / (end.at - self.at).as_secs_f64()
    }
}

/// User and system time of all threads: the 14th and 15th field of `stat`, of
/// which the second may hold blanks and brackets.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

/// Looks at the guests as `choose` does, and says what that took.
pub(crate) async fn measure() -> Result<(), Fault> {
    let site = Site::start().await?;
    let mut shares = Vec::new();
    for number in 1..=LOOKS {
        let (share, own) = look(&site).await?;
        println!(
            "look {number} of {LOOKS}: {:.2} % of a core for {WINDOW:?}; {:.2} % by the observers' own clocks",
            share * 100.0,
            own * 100.0
        );
        shares.push(share);
    }
    site.close().await?;
    shares.sort_by(f64::total_cmp);
    let median = shares[LOOKS / 2];
    println!(
        "Observing eight guests at once took this process {:.2} % of one core in the median of {LOOKS} looks ({}; asked for: {:.0} %).",
        median * 100.0,
        if median <= HOST_BUDGET.0 {
            "met"
        } else {
            "missed"
        },
        HOST_BUDGET.0 * 100.0
    );
    Ok(())
}

/// Share of a core while the guests are observed: of this process, and as the
/// observers count it.
async fn look(site: &Site) -> Result<(f64, f64), Fault> {
    let marks = Mutex::new(Vec::new());
    let report = site
        .choose_telling(|said| {
            // Finding the guests and forecasting them is not observing.
            if (said.starts_with("observing") || said.starts_with("forecasting"))
                && let (Ok(mark), Ok(mut marks)) = (Mark::now(), marks.lock())
            {
                marks.push(mark);
            }
        })
        .await?;
    let marks = marks.into_inner()?;
    let [began, ended] = &marks[..] else {
        return Err("`choose` did not say when it observes".into());
    };
    Ok((began.share_until(ended), report.observing_core_share.0))
}
