//! Records of a live run, in one order. Threads report what happens as it happens; the log gives each fact its place
//! in time, so that records never run backwards, and keeps the books of the calls.
//!
//! A call is born at its due time, whatever the machine was busy with: births come from the schedule itself, not from
//! whoever sends them late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::base::id::CallId;
use crate::base::status::{Cause, Failure};
use crate::base::time::Instant;
use crate::record::event::Record;
use crate::scenario::plan::Plan;
use crate::workload::birth::Birth;

/// The books of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Books {
    /// Inputs and wake-ups of channels, completions of backends and effects.
    pub events: u64,
    /// Calls born.
    pub scheduled: u64,
    /// Calls that ended.
    pub ended: u64,
    /// Sum of sojourn times of all calls in nanoseconds, open ones until the end of the run.
    pub sojourn_sum_ns: u128,
    /// When the run was over.
    pub at: Instant,
}

/// Puts facts in order.
#[derive(Debug)]
pub(super) struct Log {
    /// Where they go; nowhere once the run is over.
    sender: Option<Sender<(Instant, Record)>>,
    schedule: Arc<[Birth]>,
    next: usize,
    open: BTreeSet<u64>,
    /// Calls that are counted and still open.
    counted_open: u64,
    last: Instant,
    count_from: Instant,
    count_until: Instant,
    books: Books,
}

impl Log {
    pub(super) fn new(plan: &Plan, schedule: Arc<[Birth]>, sender: Sender<(Instant, Record)>) -> Log {
        Log {
            sender: Some(sender),
            schedule,
            next: 0,
            open: BTreeSet::new(),
            counted_open: 0,
            last: Instant::ZERO,
            count_from: Instant::ZERO + plan.warmup,
            count_until: Instant::ZERO + plan.duration,
            books: Books::default(),
        }
    }

    /// Something happened at `at`, or a moment ago.
    pub(super) fn put(&mut self, at: Instant, record: Record) {
        if self.sender.is_none() {
            return;
        }
        self.advance(at);
        if let Record::Ended { call, born, .. } = &record {
            self.on_ended(*call, *born);
        }
        self.send(record);
        self.end_if_done();
    }

    /// One more event.
    pub(super) fn count_event(&mut self) {
        self.books.events += u64::from(self.sender.is_some());
    }

    /// Nothing happened, but it is `at` now.
    pub(super) fn on_time(&mut self, at: Instant) {
        if self.sender.is_some() {
            self.advance(at);
            self.end_if_done();
        }
    }

    /// The run is over now, whatever is still open.
    pub(super) fn end(&mut self, at: Instant) {
        if self.sender.is_none() {
            return;
        }
        self.advance(at);
        let open = std::mem::take(&mut self.open);
        for call in &open {
            let birth = self.schedule[*call as usize];
            self.books.sojourn_sum_ns += u128::from((self.last - birth.at).as_nanos());
            self.send(unfinished(CallId(*call), &birth));
        }
        self.send(Record::Over { unfinished: open.len() as u64 });
        self.books.at = self.last;
        self.sender = None;
    }

    pub(super) fn books(&self) -> Books {
        self.books
    }

    /// Bears what is due, and moves on.
    fn advance(&mut self, at: Instant) {
        while let Some(birth) = self.schedule.get(self.next).filter(|birth| birth.at <= at).copied() {
            self.last = self.last.max(birth.at);
            self.open.insert(self.next as u64);
            self.books.scheduled += 1;
            self.counted_open += u64::from(self.counts(birth.at));
            self.send(born(CallId(self.next as u64), &birth));
            self.next += 1;
        }
        self.last = self.last.max(at);
    }

    fn on_ended(&mut self, call: CallId, born: Instant) {
        if self.open.remove(&call.0) {
            self.books.ended += 1;
            self.books.sojourn_sum_ns += u128::from((self.last - born).as_nanos());
            self.counted_open -= u64::from(self.counts(born));
        }
    }

    fn end_if_done(&mut self) {
        if self.last >= self.count_until && self.counted_open == 0 {
            self.end(self.last);
        }
    }

    fn counts(&self, born: Instant) -> bool {
        born >= self.count_from && born < self.count_until
    }

    fn send(&mut self, record: Record) {
        if let Some(sender) = &self.sender {
            // Who no longer listens has stopped the run.
            let _ = sender.send((self.last, record));
        }
    }
}

fn born(call: CallId, birth: &Birth) -> Record {
    Record::Born {
        call,
        client: birth.client,
        class: birth.class,
        key: birth.key,
        demand: birth.demand,
        deadline: birth.deadline,
    }
}

fn unfinished(call: CallId, birth: &Birth) -> Record {
    Record::Ended {
        call,
        client: birth.client,
        class: birth.class,
        born: birth.at,
        outcome: Err(Failure::of(Cause::Unfinished)),
        attempts: 0,
        backend: None,
    }
}
