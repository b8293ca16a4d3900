//! When to try a connection again: gRPC's connection backoff
//! (<https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md>): 1 s, times 1.6, jitter a fifth, at most
//! 120 s; forgotten after a success.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::Address;
use crate::base::rand::{Bits, Rand};
use crate::base::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const FACTOR: f64 = 1.6;
const LONGEST: Duration = Duration::from_secs(120);

/// Addresses that could not be reached.
#[derive(Debug)]
pub(super) struct Reconnect {
    rand: Rand,
    /// Nominal wait before the try after the next.
    failed: BTreeMap<Address, Duration>,
    /// Tries to come.
    due: BTreeSet<(Instant, Address)>,
}

impl Reconnect {
    pub(super) fn new(rand: Rand) -> Reconnect {
        Reconnect { rand, failed: BTreeMap::new(), due: BTreeSet::new() }
    }

    pub(super) fn on_success(&mut self, address: Address) {
        if self.failed.remove(&address).is_some() {
            self.due.retain(|(_, other)| *other != address);
        }
    }

    pub(super) fn on_failure(&mut self, now: Instant, address: Address) {
        let jitter = 0.8 + 0.4 * self.rand.unit();
        let wait = self.failed.entry(address).or_insert(FIRST);
        self.due.insert((now + wait.scale(jitter), address));
        *wait = wait.scale(FACTOR).min(LONGEST);
    }

    /// Nobody waits for another try.
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    #[inline]
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// An address whose time has come.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Address> {
        let first = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&first);
        Some(first.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;

    #[test]
    fn waits_grow_to_the_cap_and_are_forgotten() {
        let mut reconnect = Reconnect::new(Seed::new(1).stream("reconnect"));
        let address = Address(3);
        let mut now = Instant::ZERO;
        let mut nominal = 1.0f64;
        for _ in 0..14 {
            reconnect.on_failure(now, address);
            let at = reconnect.next_timeout().unwrap();
            let wait = (at - now).as_secs_f64();
            assert!(
                wait >= 0.8 * nominal - 1e-6 && wait <= 1.2 * nominal + 1e-6,
                "{wait} s where {nominal} s is nominal"
            );
            assert_eq!(reconnect.poll(now), None, "not before its time");
            assert_eq!(reconnect.poll(at), Some(address));
            assert_eq!(reconnect.poll(at), None, "once");
            now = at;
            nominal = (nominal * 1.6).min(120.0);
        }
        reconnect.on_success(address);
        reconnect.on_failure(now, address);
        assert!((reconnect.next_timeout().unwrap() - now).as_secs_f64() <= 1.2);
    }
}
