//! Balancers with one flaw each. A check that lets its canary live is no check.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Check, Subject, broken_promises, check, transparent};
use crate::base::id::EndpointId;
use crate::base::rand::mix;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Promise;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    None,
    PicksDeparted,
    IgnoresReadiness,
    NeverQueues,
    MovesForOne,
    Unstable,
    CountsWakes,
    MovesItsTime,
    NeverSleeps,
    NeverStopsWanting,
    CountsLateReplies,
    PanicsOnLateReplies,
    JudgesByPlace,
    OnlySaysItPicks,
    IgnoresWeights,
    HashesModulo,
}

/// Turns by a counter, with a flaw.
struct Canary {
    flaw: Flaw,
    at: u64,
    first: Option<EndpointId>,
    blamed: Vec<bool>,
    woken_at: Instant,
}

static PROCESS_WIDE: AtomicU64 = AtomicU64::new(0);

impl Balancer for Canary {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.first = self.first.or(endpoints.ready.first().copied());
    }

    fn pick(&mut self, _now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let ready = match self.flaw {
            Flaw::PicksDeparted if self.first.is_some() => return Pick::To(self.first.unwrap()),
            Flaw::IgnoresReadiness => endpoints.members,
            _ => endpoints.ready,
        };
        match ready {
            [] if self.flaw == Flaw::NeverQueues => return Pick::nobody(&endpoints.narrowed(&[], &[])),
            [] => return Pick::nobody(endpoints),
            [only] if self.flaw != Flaw::MovesForOne => return Pick::To(*only),
            _ => {}
        }
        if self.flaw == Flaw::HashesModulo {
            return Pick::To(ready[(request.hash_or_random() % ready.len() as u64) as usize]);
        }
        if self.flaw == Flaw::Unstable {
            // Mixed, so that no number of picks brings it back to where it was.
            self.at += mix(PROCESS_WIDE.fetch_add(1, Ordering::Relaxed)) % 2;
        }
        self.at += 1;
        let pick = ready[(self.at % ready.len() as u64) as usize];
        let blamed = |id: &EndpointId| self.blamed.get(id.slot()).copied().unwrap_or(false);
        Pick::To(if blamed(&pick) { ready.iter().copied().find(|id| !blamed(id)).unwrap_or(pick) } else { pick })
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, outcome, .. } = feedback else { return };
        if endpoints.get(*endpoint).is_none() {
            assert_ne!(self.flaw, Flaw::PanicsOnLateReplies, "who is this?");
            self.at += u64::from(self.flaw == Flaw::CountsLateReplies);
        }
        if matches!(self.flaw, Flaw::JudgesByPlace | Flaw::OnlySaysItPicks) && outcome.is_err() {
            self.blamed.resize(self.blamed.len().max(endpoint.slot() + 1), false);
            self.blamed[endpoint.slot()] = true;
        }
    }

    fn only_picks(&self) -> bool {
        self.flaw == Flaw::OnlySaysItPicks
    }

    fn poll_want(&mut self) -> Option<Want> {
        (self.flaw == Flaw::NeverStopsWanting).then_some(Want::Resolve)
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.flaw {
            Flaw::NeverSleeps => Some(Instant::ZERO),
            Flaw::MovesItsTime => Some(self.woken_at + Duration::from_secs(1)),
            _ => None,
        }
    }

    fn on_timeout(&mut self, now: Instant, _endpoints: &Endpoints<'_>) {
        self.woken_at = now;
        self.at += u64::from(self.flaw == Flaw::CountsWakes);
    }
}

fn subject(flaw: Flaw, promises: &[Promise]) -> Subject {
    let canary = move || Canary { flaw, at: 0, first: None, blamed: vec![], woken_at: Instant::ZERO };
    Subject::new(&format!("canary: {flaw:?}"), promises, move |_| Box::new(canary()))
}

#[test]
fn every_check_catches_its_canary() {
    for (flaw, caught_by) in [
        (Flaw::PicksDeparted, &[Check::OnlyReady, Check::Forgets][..]),
        (Flaw::IgnoresReadiness, &[Check::OnlyReady, Check::NobodyReady]),
        (Flaw::NeverQueues, &[Check::NobodyReady]),
        (Flaw::MovesForOne, &[Check::OneEndpoint]),
        (Flaw::Unstable, &[Check::Twins]),
        (Flaw::CountsWakes, &[Check::SpuriousWakes]),
        (Flaw::MovesItsTime, &[Check::SpuriousWakes]),
        (Flaw::NeverSleeps, &[Check::OnlyReady]),
        (Flaw::NeverStopsWanting, &[Check::OnlyReady]),
        (Flaw::CountsLateReplies, &[Check::Forgets]),
        (Flaw::PanicsOnLateReplies, &[Check::OnlyReady, Check::Forgets]),
        (Flaw::JudgesByPlace, &[Check::StartsCold]),
        (Flaw::OnlySaysItPicks, &[Check::OnlyPicks]),
    ] {
        for by in caught_by {
            assert!(check(*by, &subject(flaw, &[])).is_err(), "{by:?} lets {flaw:?} live");
        }
    }
}

#[test]
fn a_sound_one_lives() {
    for by in Check::ALL {
        assert_eq!(check(by, &subject(Flaw::None, &[])), Ok(()), "{by:?}");
    }
}

#[test]
fn no_broken_promise_goes_unseen() {
    for (flaw, promise) in [
        (Flaw::IgnoresWeights, Promise::Weights),
        (Flaw::IgnoresWeights, Promise::ZeroNever),
        (Flaw::None, Promise::Sticky),
        (Flaw::HashesModulo, Promise::LittleDisruption),
    ] {
        let broken = broken_promises(&subject(flaw, &[promise]));
        assert_eq!(broken.len(), 1, "{promise:?}: {broken:?}");
    }
    assert_eq!(broken_promises(&subject(Flaw::HashesModulo, &[Promise::Sticky])), Vec::<String>::new());
}

#[test]
fn a_wrapper_that_shows_is_seen() {
    let plain = subject(Flaw::None, &[]);
    assert_eq!(transparent(&subject(Flaw::None, &[]), &plain), Ok(()));
    assert!(transparent(&subject(Flaw::HashesModulo, &[]), &plain).is_err());
}
