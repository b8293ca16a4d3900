//! Digests: numbers that are equal exactly when two runs did the same.
//!
//! Two lanes of multiply-and-fold mixing (the construction of wyhash, public domain) over fixed-width words,
//! 128 bits in all. A cryptographic hash over every record would cost more than the rest of a simulated call;
//! nobody attacks these digests, they only have to tell runs apart.

use super::Sink;
use super::event::Record;
use crate::base::status::Outcome;
use crate::base::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// Version of the semantics. Raised whenever results change on purpose.
pub const SEMANTICS: u32 = 1;

/// Digests, as 32 hexadecimal digits each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digests {
    /// Every call as it was born, and the fault timeline: equal for all contenders of a seed.
    pub workload: String,
    /// Every call as it ended.
    pub outcome: String,
    /// Every record in the order of emission.
    pub run: String,
}

/// A running digest over words, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    a: u64,
    b: u64,
}

const K0: u64 = 0xa076_1d64_78bd_642f;
const K1: u64 = 0xe703_7ed1_a0b4_28db;
const K2: u64 = 0x8ebc_6af0_9c88_c6e3;

#[inline(always)]
fn fold(x: u64, y: u64) -> u64 {
    let product = u128::from(x) * u128::from(y);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Lanes {
    /// An empty digest of this name.
    pub fn new(name: &str) -> Lanes {
        let mut lanes = Lanes { a: K1 ^ u64::from(SEMANTICS), b: K2 };
        for byte in name.bytes() {
            lanes.word(u64::from(byte));
        }
        lanes
    }

    /// Takes in one word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.a = fold(self.a ^ word, K0);
        self.b = fold(self.b.rotate_left(29) ^ word, K1);
    }

    /// Takes in two words: as good as one after the other, and cheaper.
    #[inline(always)]
    pub fn pair(&mut self, x: u64, y: u64) {
        self.a = fold(self.a ^ x, y ^ K0);
        self.b = fold(self.b.rotate_left(29) ^ y, x ^ K1);
    }

    /// One lane, for use as a word of another digest.
    pub fn low(&self) -> u64 {
        fold(self.a ^ K2, self.b ^ K1)
    }

    /// Both lanes as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:016x}{:016x}", fold(self.a ^ K2, K1), fold(self.b ^ K0, K2))
    }
}

/// The three digests of a run, as records go by.
#[derive(Debug)]
pub struct Digester {
    counted_until: Instant,
    workload: Lanes,
    /// A sum over calls of a mix of how each ended: calls end in any order, and need not be kept for it.
    outcome: (u64, u64),
    run: Lanes,
    closed: bool,
}

impl Digester {
    /// `counted_until`: calls born later belong to no workload digest, because how many there are depends on
    /// when the last counted one ends. `closed`: calls wait for replies, so when they are born depends on the
    /// contender and is left out.
    pub fn new(counted_until: Instant, closed: bool) -> Digester {
        Digester { counted_until, workload: Lanes::new("workload"), outcome: (0, 0), run: Lanes::new("run"), closed }
    }

    /// Takes in something that belongs to the workload besides the calls: the timeline of the faults.
    pub fn workload_word(&mut self, word: u64) {
        self.workload.word(word);
    }

    /// The digests so far.
    pub fn finish(&self) -> Digests {
        let mut outcome = Lanes::new("outcome");
        outcome.pair(self.outcome.0, self.outcome.1);
        // Births are in the workload's digest already.
        let mut run = self.run;
        run.pair(self.workload.a, self.workload.b);
        Digests { workload: self.workload.hex(), outcome: outcome.hex(), run: run.hex() }
    }
}

fn outcome_word(outcome: Outcome) -> u64 {
    match outcome {
        Ok(()) => 0,
        Err(failure) => 1 + ((failure.status as u64) << 8 | (failure.cause as u64)),
    }
}

fn optional(duration: Option<Duration>) -> u64 {
    duration.map_or(u64::MAX, Duration::as_nanos)
}

impl Sink for Digester {
    #[inline(always)]
    fn put(&mut self, at: Instant, record: &Record) {
        let at_ns = at.as_nanos();
        match record {
            Record::Born { call, client, class, key, demand, deadline } => {
                if at < self.counted_until && !self.closed {
                    let who = u64::from(client.0) << 16 | u64::from(*class);
                    self.workload.pair(call.0 ^ who.rotate_left(32), at_ns);
                    self.workload.pair(key.unwrap_or(u64::MAX), demand.to_bits() ^ optional(*deadline).rotate_left(1));
                }
            }
            Record::Sent { call, attempt, backend, .. } => {
                self.run.pair(at_ns ^ call.0.rotate_left(40), u64::from(backend.0) << 24 | u64::from(*attempt));
            }
            // What happens inside a server follows from what arrived there and shows in when its answers come; an
            // answer shows in what the channel does next.
            Record::Arrived { .. } | Record::Served { .. } | Record::Looked { .. } | Record::Done { .. } => {}
            // Follows from what clients know, and changes nothing; so does a weight from the effect before it.
            Record::Connected { .. } | Record::Weighed { .. } => {}
            Record::Ended { call, outcome, attempts, backend, .. } => {
                let last = backend.map_or(u64::MAX, |backend| u64::from(backend.0));
                let how = outcome_word(*outcome) << 32 | u64::from(*attempts);
                let (x, y) = (fold(call.0 ^ K0, at_ns ^ K1), fold(how ^ K2, last ^ K1));
                self.outcome.0 = self.outcome.0.wrapping_add(fold(x ^ K2, y ^ K0));
                self.outcome.1 = self.outcome.1.wrapping_add(fold(y ^ x.rotate_left(17), x ^ K1));
                self.run.pair(x, y);
            }
            Record::Member { backend, up } => {
                self.run.pair(at_ns, 8 << 56 | u64::from(backend.0) << 1 | u64::from(*up));
            }
            Record::Effect { number } => self.run.pair(at_ns, 9 << 56 | u64::from(*number)),
            Record::Over { unfinished } => self.run.pair(at_ns, 10 << 56 | unfinished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{BackendId, CallId, ClientId};

    fn ended(call: u64, backend: u32) -> Record {
        Record::Ended {
            call: CallId(call),
            client: ClientId(0),
            class: 0,
            born: Instant::ZERO,
            outcome: Ok(()),
            attempts: 1,
            backend: Some(BackendId(backend)),
        }
    }

    fn digests(records: &[(u64, Record)]) -> Digests {
        let mut digester = Digester::new(Instant::from_nanos(100), false);
        for (at, record) in records {
            digester.put(Instant::from_nanos(*at), record);
        }
        digester.finish()
    }

    #[test]
    fn the_outcome_does_not_depend_on_the_order_but_the_run_does() {
        let (a, b) = ((5, ended(1, 2)), (5, ended(2, 3)));
        let forward = digests(&[a.clone(), b.clone()]);
        let backward = digests(&[b, a]);
        assert_eq!(forward.outcome, backward.outcome);
        assert_ne!(forward.run, backward.run);
    }

    #[test]
    fn swapped_fields_and_lost_calls_show() {
        let base = digests(&[(5, ended(1, 2)), (5, ended(2, 3))]);
        assert_ne!(base.outcome, digests(&[(5, ended(1, 3)), (5, ended(2, 2))]).outcome);
        assert_ne!(base.outcome, digests(&[(5, ended(1, 2))]).outcome);
        assert_ne!(base.outcome, digests(&[(5, ended(1, 2)), (6, ended(2, 3))]).outcome);
    }

    #[test]
    fn the_workload_ends_where_counting_ends() {
        let born =
            Record::Born { call: CallId(1), client: ClientId(0), class: 0, key: None, demand: 1.0, deadline: None };
        assert_eq!(digests(&[(100, born.clone())]).workload, digests(&[]).workload);
        assert_ne!(digests(&[(99, born)]).workload, digests(&[]).workload);
    }
}
