//! What a world lets oracles see of its servers: the one way around "policy never sees a backend", for reference
//! balancers that show what would be possible. A world writes only where a contender asks for it, in virtual time;
//! everywhere else a [`Truth`] is blind, holds nothing and costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::id::Address;
use crate::base::time::{Duration, Instant};

/// What is true of a server at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When it was so.
    pub at: Instant,
    /// Calls of all clients that wait, are served or are on their way to it.
    pub calls: u32,
    /// Workers that may work.
    pub workers: u32,
    /// Workers that hold a call: what is inside falls by this much a nanosecond.
    pub busy: u32,
    /// Time of workers that the calls inside still take, at the speed of now.
    pub inside: Duration,
    /// The same for calls on their way to it.
    pub coming: Duration,
    /// It is there and moves.
    pub answers: bool,
}

impl Seen {
    /// Before anything happened: an idle server.
    const IDLE: Seen = Seen {
        at: Instant::ZERO,
        calls: 0,
        workers: 1,
        busy: 0,
        inside: Duration::ZERO,
        coming: Duration::ZERO,
        answers: true,
    };

    /// Calls a worker; infinite where nobody answers.
    pub fn queue(&self) -> f64 {
        if self.answers { f64::from(self.calls) / f64::from(self.workers.max(1)) } else { f64::INFINITY }
    }

    /// Nanoseconds of work left a worker at an instant up to the next change; infinite where nobody answers.
    pub fn work(&self, now: Instant) -> f64 {
        if !self.answers {
            return f64::INFINITY;
        }
        let done = now.since(self.at).saturating_mul(u64::from(self.busy));
        let left = self.inside.saturating_sub(done).saturating_add(self.coming);
        left.as_nanos() as f64 / f64::from(self.workers.max(1))
    }
}

/// The truth about all servers of a run, shared by its world and its oracles. Blind by default.
#[derive(Debug, Clone, Default)]
pub struct Truth(Option<Arc<Mutex<Board>>>);

/// What happened, and how far each age has heard of it.
#[derive(Debug, Default)]
struct Board {
    views: Vec<View>,
    /// Changes that some view has not heard of.
    log: VecDeque<(Address, Seen)>,
    /// Changes that have left the log.
    forgotten: u64,
}

/// Which past an oracle sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// So long ago.
    pub age: Duration,
    /// Written anew so often, for all servers at once, and the same in between; 0: all the time.
    pub every: Duration,
}

impl Past {
    /// The instant that is seen at `now`; `None` while that lies before the beginning.
    fn of(&self, now: Instant) -> Option<Instant> {
        let whole = now.as_nanos() - now.as_nanos().checked_rem(self.every.as_nanos()).unwrap_or(0);
        whole.checked_sub(self.age.as_nanos()).map(Instant::from_nanos)
    }
}

/// The servers as they were a while ago.
#[derive(Debug)]
struct View {
    past: Past,
    seen: Vec<Seen>,
    /// Changes that it has heard of since the run began.
    heard: u64,
}

impl Truth {
    /// A truth that a world will fill.
    pub fn open() -> Truth {
        Truth(Some(Arc::default()))
    }

    /// Whether nobody fills it.
    pub fn is_blind(&self) -> bool {
        self.0.is_none()
    }

    /// Something has changed at a server, now: `seen.at` never runs backwards.
    pub fn note(&self, server: Address, seen: Seen) {
        let Some(mut board) = self.board() else { return };
        board.log.push_back((server, seen));
        for view in 0..board.views.len() {
            board.hear(view, seen.at);
        }
        board.forget();
    }

    /// Sight of the servers as they were then.
    pub fn sight(&self, past: Past) -> Sight {
        let place = self.board().map_or(0, |mut board| board.view(past));
        Sight { truth: self.clone(), place }
    }

    /// The world and its oracles live on one thread, so nobody ever waits here.
    fn board(&self) -> Option<MutexGuard<'_, Board>> {
        self.0.as_ref().map(|board| board.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Board {
    fn view(&mut self, past: Past) -> usize {
        if let Some(place) = self.views.iter().position(|view| view.past == past) {
            return place;
        }
        self.views.push(View { past, seen: Vec::new(), heard: self.forgotten });
        self.views.len() - 1
    }

    /// A view hears of what was so by the instant that it sees.
    fn hear(&mut self, view: usize, now: Instant) {
        let view = &mut self.views[view];
        let Some(then) = view.past.of(now) else { return };
        while let Some((server, seen)) = self.log.get((view.heard - self.forgotten) as usize) {
            if seen.at > then {
                return;
            }
            if view.seen.len() <= server.index() {
                view.seen.resize(server.index() + 1, Seen::IDLE);
            }
            view.seen[server.index()] = *seen;
            view.heard += 1;
        }
    }

    /// What every view has heard of is no longer needed.
    fn forget(&mut self) {
        let end = self.forgotten + self.log.len() as u64;
        let heard = self.views.iter().map(|view| view.heard).min().unwrap_or(end);
        self.log.drain(..(heard - self.forgotten) as usize);
        self.forgotten = heard;
    }
}

/// The servers as they were a while ago, for one oracle.
#[derive(Debug, Clone)]
pub struct Sight {
    truth: Truth,
    place: usize,
}

impl Sight {
    /// A server as it was at the instant that is seen now, and that instant. Blind, every server looks idle.
    pub fn of(&self, now: Instant, server: Address) -> (Seen, Instant) {
        let Some(mut board) = self.truth.board() else { return (Seen::IDLE, now) };
        board.hear(self.place, now);
        let view = &board.views[self.place];
        let then = view.past.of(now).unwrap_or(Instant::ZERO);
        (view.seen.get(server.index()).copied().unwrap_or(Seen::IDLE), then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ms: u64, calls: u32) -> Seen {
        let at = Instant::ZERO + Duration::from_millis(ms);
        Seen { at, calls, busy: 1, inside: Duration::from_millis(u64::from(calls) * 10), ..Seen::IDLE }
    }

    #[test]
    fn each_age_hears_when_its_time_has_come() {
        let truth = Truth::open();
        let ages = [0, 5, 50].map(|ms| truth.sight(Past { age: Duration::from_millis(ms), ..Past::default() }));
        for (ms, server, calls) in [(1, 0, 1), (2, 1, 3), (6, 0, 2), (6, 0, 4)] {
            truth.note(Address(server), seen(ms, calls));
        }
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let calls = |ms| ages.clone().map(|sight| [0, 1].map(|server| sight.of(at(ms), Address(server)).0.calls));
        assert_eq!(calls(6), [[4, 3], [1, 0], [0, 0]]);
        assert_eq!(calls(10), [[4, 3], [1, 3], [0, 0]]);
        assert_eq!(calls(11), [[4, 3], [4, 3], [0, 0]]);
        assert_eq!(calls(56), [[4, 3], [4, 3], [4, 3]]);
        truth.note(Address(7), seen(200, 1));
        assert_eq!(truth.board().unwrap().log.len(), 1, "what all have heard of is forgotten");
        assert!(Truth::default().is_blind() && !truth.is_blind());
    }

    #[test]
    fn a_board_that_is_written_at_times_shows_what_was_so_then() {
        let truth = Truth::open();
        let ms = Duration::from_millis;
        let sights = [0, 3].map(|age| truth.sight(Past { age: ms(age), every: ms(10) }));
        for (at, calls) in [(1, 1), (8, 2), (10, 3), (11, 4), (25, 5)] {
            truth.note(Address(0), seen(at, calls));
        }
        let seen = |at: u64| {
            let now = Instant::ZERO + ms(at);
            sights.clone().map(|sight| {
                let (seen, then) = sight.of(now, Address(0));
                (seen.calls, then.as_nanos() / 1_000_000)
            })
        };
        assert_eq!(seen(25), [(4, 20), (4, 17)]);
        assert_eq!(seen(29), [(4, 20), (4, 17)], "and the same until it is written again");
        assert_eq!(seen(30), [(5, 30), (5, 27)]);
        let late = Truth::open();
        let sight = late.sight(Past { age: ms(3), every: ms(10) });
        for (at, calls) in [(1, 1), (8, 2), (12, 4)] {
            late.note(Address(0), self::seen(at, calls));
        }
        let calls = |at| sight.of(Instant::ZERO + ms(at), Address(0)).0.calls;
        assert_eq!([12, 19, 20].map(calls), [1, 1, 4], "at 10 ms it is written as of 7 ms");
    }

    #[test]
    fn work_falls_with_the_workers_that_hold_a_call() {
        let now = Instant::ZERO + Duration::from_millis(4);
        let two = Seen { workers: 4, busy: 2, coming: Duration::from_millis(4), ..seen(0, 3) };
        assert_eq!((two.work(now), two.queue()), (26e6 / 4.0, 0.75));
        assert_eq!(two.work(now + Duration::from_secs(1)), 1e6, "what is on its way does not fall");
        let dead = Seen { answers: false, ..two };
        assert_eq!((dead.work(now), dead.queue()), (f64::INFINITY, f64::INFINITY));
    }
}
