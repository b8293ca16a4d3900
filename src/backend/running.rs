//! What is on the workers of a server, the soonest done first at hand. Most servers are asked for that one only, and
//! many have a single worker: it stands in the server itself, the others elsewhere.

use super::server::Job;
use crate::base::status::Status;
use crate::base::time::{Duration, Instant};

/// A call on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    /// When it will be done, in nanoseconds.
    pub(super) done: u64,
    /// When it got its worker.
    pub(super) since: u64,
    pub(super) job: u32,
    pub(super) fails: bool,
    pub(super) status: Status,
}

impl Running {
    const NOBODY: Running = Running { done: u64::MAX, since: 0, job: u32::MAX, fails: false, status: Status::Ok };

    #[inline(always)]
    pub(super) fn new(now: Instant, done: u64, job: &Job) -> Running {
        Running { done, since: now.as_nanos(), job: job.job, fails: job.fails, status: job.status }
    }

    /// Where it comes among others.
    #[inline(always)]
    fn order(&self) -> (u64, u32) {
        (self.done, self.job)
    }

    /// How long it has held its worker.
    #[inline(always)]
    pub(super) fn held(&self, until: Instant) -> Duration {
        until.since(Instant::from_nanos(self.since))
    }
}

/// All calls on the workers of one server.
#[derive(Debug)]
pub(super) struct Workers {
    /// [`Running::NOBODY`] if nobody is.
    soonest: Running,
    /// The others, the soonest last.
    others: Vec<Running>,
    len: u32,
}

impl Default for Workers {
    fn default() -> Workers {
        Workers { soonest: Running::NOBODY, others: Vec::new(), len: 0 }
    }
}

impl Workers {
    #[inline(always)]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// When the soonest will be done; [`Instant::NEVER`] if there is none.
    #[inline(always)]
    pub(super) fn next_done(&self) -> Instant {
        Instant::from_nanos(self.soonest.done)
    }

    /// The soonest.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<&Running> {
        (self.len > 0).then_some(&self.soonest)
    }

    #[inline(always)]
    pub(super) fn push(&mut self, running: Running) {
        self.len += 1;
        if self.len == 1 {
            self.soonest = running;
        } else {
            self.push_beside(running);
        }
    }

    #[inline]
    fn push_beside(&mut self, mut running: Running) {
        if running.order() < self.soonest.order() {
            std::mem::swap(&mut running, &mut self.soonest);
        }
        let at = self.others.partition_point(|other| other.order() > running.order());
        self.others.insert(at, running);
    }

    /// Takes the soonest.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Running> {
        if self.len == 0 {
            return None;
        }
        let soonest = self.soonest;
        self.len -= 1;
        self.soonest = if self.len == 0 { Running::NOBODY } else { self.others.pop()? };
        Some(soonest)
    }

    /// Takes a certain one.
    pub(super) fn remove(&mut self, job: u32) -> Option<Running> {
        if self.soonest.job == job {
            return self.pop();
        }
        let at = self.others.iter().position(|running| running.job == job)?;
        self.len -= 1;
        Some(self.others.remove(at))
    }

    /// All of them, the soonest first and then the latest.
    pub(super) fn each(&self) -> impl Iterator<Item = &Running> {
        self.next().into_iter().chain(&self.others)
    }

    /// Takes all, the soonest first.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Running> {
        std::iter::from_fn(|| self.pop())
    }

    /// All of them will be done at another time.
    pub(super) fn reschedule(&mut self, done: impl Fn(u64) -> u64) {
        let all: Vec<Running> = self.take_all().collect();
        for running in all {
            self.push(Running { done: done(running.done), ..running });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    #[test]
    fn comes_out_in_order_beside_a_sorted_list() {
        let mut rand = Seed::new(1).stream("workers");
        let (mut workers, mut list) = (Workers::default(), Vec::<Running>::new());
        for job in 0..20_000 {
            match rand.below(8) {
                0..4 => {
                    let running = Running { done: rand.below(50), job, ..Running::NOBODY };
                    workers.push(running);
                    list.push(running);
                }
                4..6 => {
                    let soonest = (!list.is_empty()).then(|| list.remove(0));
                    assert_eq!(workers.pop(), soonest);
                }
                6 if !list.is_empty() => {
                    let one = list.remove(rand.below(list.len() as u64) as usize);
                    assert_eq!(workers.remove(one.job), Some(one));
                    assert_eq!(workers.remove(one.job), None, "once");
                }
                _ => {
                    // Nothing stays in order: late ones come first.
                    workers.reschedule(|done| 100 - done);
                    list.iter_mut().for_each(|running| running.done = 100 - running.done);
                }
            }
            list.sort_by_key(Running::order);
            assert_eq!((workers.len() as usize, workers.next()), (list.len(), list.first()));
            assert_eq!(workers.next_done().as_nanos(), list.first().map_or(u64::MAX, |running| running.done));
        }
        assert_eq!(workers.take_all().collect::<Vec<_>>(), list);
    }
}
