//! Whether a live run may be believed: a machine that is too busy measures itself.
//!
//! Five signs, each of which is enough to call a run CLIENT-LIMITED: calls were sent late, calls that were due were
//! never sent, a connection was full, the process had hardly any processor left, or alarms went off late.

use super::clock::Lag;
use crate::base::time::Duration;

/// What a run says of the machine under it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vitals {
    /// From the due time of a call to the moment its first attempt is handed to a connection.
    pub lag: Lag,
    /// How late alarms went off that were set for nothing else.
    pub probe: Lag,
    /// Calls that were due in time and never began.
    pub skipped: u64,
    /// Attempts that found their connection full.
    pub crowded: u64,
    /// Processor time of this process (the servers are in it) over what it may use, 1 for all of it; `None` where that
    /// cannot be read.
    pub cpu: Option<f64>,
}

impl Vitals {
    /// Why the run cannot be believed, if the median latency of its calls was `median`; empty if it can.
    pub fn doubts(&self, median: Duration) -> Vec<String> {
        let trusted = trusted(median);
        let late = |what: &str, lag: &Lag| {
            let late = lag.quantile(0.999);
            (late > trusted).then(|| format!("{what} {} late at p99.9, trusted up to {}", ms(late), ms(trusted)))
        };
        let count = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let busy = self.cpu.filter(|share| *share > CPU_MOST);
        let doubts = [
            late("calls were sent up to", &self.lag),
            late("alarms went off up to", &self.probe),
            count(self.skipped, "calls were due and never sent"),
            count(self.crowded, "attempts found their connection full"),
            busy.map(|share| format!("{:.0} % of the processor was in use, trusted up to 80 %", 100.0 * share)),
        ];
        doubts.into_iter().flatten().collect()
    }
}

/// How late is still on time: 0.2 ms, or 2 % of the median latency.
pub fn trusted(median: Duration) -> Duration {
    Duration::from_micros(200).max(Duration::from_nanos(median.as_nanos() / 50))
}

fn ms(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_millis_f64())
}

/// Processor time that this process has used, in seconds; `None` where there is no `/proc`.
pub(super) fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    ticks(&stat).map(|ticks| ticks as f64 / TICKS_A_SECOND)
}

/// User and system time in a line of `/proc/PID/stat` (proc(5)): the 14th and the 15th field. The second is a name in
/// parentheses that may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Processors that this process may use, quotas counted.
pub(super) fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}

/// More of the processor than this leaves no room for being on time.
const CPU_MOST: f64 = 0.8;
/// Linux shows times in hundredths of a second, whatever it counts in itself.
const TICKS_A_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn late(us: u64) -> Lag {
        let mut lag = Lag::default();
        lag.add(Duration::from_micros(us));
        lag
    }

    fn doubts(vitals: &Vitals, median_us: u64) -> String {
        vitals.doubts(Duration::from_micros(median_us)).join("; ")
    }

    #[test]
    fn a_quiet_machine_is_believed() {
        let quiet = Vitals { lag: late(200), probe: late(200), skipped: 0, crowded: 0, cpu: Some(0.8) };
        assert_eq!(doubts(&quiet, 1_000), "");
        assert_eq!(doubts(&Vitals { cpu: None, ..quiet }, 1_000), "", "what cannot be read is no sign");
        assert_eq!(doubts(&Vitals::default(), 0), "");
    }

    #[test]
    fn each_sign_is_enough() {
        let lag = Vitals { lag: late(201), ..Vitals::default() };
        assert_eq!(doubts(&lag, 1_000), "calls were sent up to 0.201 ms late at p99.9, trusted up to 0.200 ms");
        assert_eq!(doubts(&lag, 50_000), "", "a slower service forgives more lateness");
        let probe = Vitals { probe: late(1_001), ..Vitals::default() };
        assert!(doubts(&probe, 50_000).starts_with("alarms went off up to 1.001 ms late"));
        let skipped = Vitals { skipped: 1, ..Vitals::default() };
        assert_eq!(doubts(&skipped, 50_000), "1 calls were due and never sent");
        let crowded = Vitals { crowded: 7, ..Vitals::default() };
        assert_eq!(doubts(&crowded, 50_000), "7 attempts found their connection full");
        let busy = Vitals { cpu: Some(0.81), ..Vitals::default() };
        assert_eq!(doubts(&busy, 50_000), "81 % of the processor was in use, trusted up to 80 %");
    }

    #[test]
    fn processor_time_is_read() {
        let line = "4242 (a) b (c)) S 1 4242 4242 0 -1 4194304 90 0 0 0 123 45 0 0 20 0 1 0 77 0 0";
        assert_eq!(ticks(line), Some(168));
        assert_eq!(ticks("4242 (x) S 1"), None);
        #[cfg(target_os = "linux")]
        assert!(processor_seconds().is_some_and(|seconds| seconds >= 0.0));
    }
}
