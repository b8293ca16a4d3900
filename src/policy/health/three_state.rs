//! Healthy, suspect, failed: a prober that doubts before it condemns.
//!
//! Every `interval` each endpoint is probed. The first miss makes a healthy endpoint suspect, and it is asked
//! again at once; so is it after each further miss, until `misses` in a row make it failed. An answer in
//! between makes it healthy. A failed endpoint is probed on the beat; an answer starts the recovery check, in
//! which it is asked again at once until `recover_successes` further answers make it healthy, or a miss sends
//! it back to the beat.
//!
//! Observes: the answers to its own probes, and their absence for `timeout`.
//! Cost: O(log n) a probe.
//! Draws: one for each endpoint that joins, which spreads the beats of endpoints and of clients over the interval.
//! Takes, with endpoints that fall silent: from `misses` timeouts up to that and one interval.
//! Fails when: probes are lost, because then some endpoints are always suspect (`suspect = "exclude"` throws
//! their capacity away); and when a server answers probes but not calls, because then it sees nothing at all.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::agenda::Agenda;
use super::{HealthCheck, Probe};
use crate::base::bounds::{above_zero, one_or_more};
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::time::{Duration, Instant};
use crate::policy::endpoints::{Health, SuspectRule};

/// Parameters of `three_state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// From one regular probe to the next, above 0.
    #[serde(deserialize_with = "above_zero")]
    pub interval: Duration,
    /// A probe without an answer for this long is a miss; above 0.
    #[serde(deserialize_with = "above_zero")]
    pub timeout: Duration,
    /// Misses in a row until it has failed, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    pub misses: u32,
    /// Further answered probes that a failed endpoint needs after the first.
    pub recover_successes: u32,
    /// What becomes of suspects.
    pub suspect: SuspectRule,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            misses: 3,
            recover_successes: 1,
            suspect: SuspectRule::LastResort,
        }
    }
}

impl Config {
    /// The checker of one client.
    pub fn build(&self, seed: &Seed) -> ThreeState {
        ThreeState::new(self, seed.stream("three_state"))
    }
}

/// The checker of one client.
#[derive(Debug)]
pub struct ThreeState {
    config: Config,
    rand: Rand,
    /// By slot of the endpoint.
    watches: Vec<Watch>,
    /// When each endpoint's open probe is given up, or else when its next beat comes.
    agenda: Agenda,
    probes: VecDeque<Probe>,
    verdicts: VecDeque<(EndpointId, Health)>,
    latest: Instant,
}

/// What is known about one endpoint.
#[derive(Debug, Clone, Copy)]
struct Watch {
    id: EndpointId,
    listed: bool,
    health: Health,
    /// Misses in a row, until it has failed.
    misses: u32,
    /// Answers in a row since it has failed.
    answers: u32,
    /// Number of its latest probe.
    number: u32,
    /// Whether that probe waits for its answer.
    open: bool,
    /// Its next beat.
    beat: Instant,
}

impl ThreeState {
    /// A checker without endpoints. `config` must have passed its check.
    pub fn new(config: &Config, rand: Rand) -> ThreeState {
        ThreeState {
            config: config.clone(),
            rand,
            watches: Vec::new(),
            agenda: Agenda::default(),
            probes: VecDeque::new(),
            verdicts: VecDeque::new(),
            latest: Instant::ZERO,
        }
    }

    /// The verdict on an endpoint; `None` if it is not watched.
    pub fn health(&self, id: EndpointId) -> Option<Health> {
        self.watch(id).map(|watch| watch.health)
    }

    fn watch(&self, id: EndpointId) -> Option<&Watch> {
        self.watches.get(id.slot()).filter(|watch| watch.listed && watch.id == id)
    }

    /// True if this probe is the one that its endpoint still owes an answer to.
    fn is_open(&self, probe: Probe) -> bool {
        self.watch(probe.endpoint).is_some_and(|watch| watch.open && watch.number == probe.number)
    }

    fn join(&mut self, now: Instant, id: EndpointId) {
        if self.watch(id).is_some() {
            return;
        }
        let beat = now + Duration::from_nanos(self.rand.below(self.config.interval.as_nanos()));
        let watch =
            Watch { id, listed: true, health: Health::Healthy, misses: 0, answers: 0, number: 0, open: false, beat };
        if self.watches.len() <= id.slot() {
            let absent = Watch { listed: false, ..watch };
            self.watches.resize(id.slot() + 1, absent);
        }
        self.watches[id.slot()] = watch;
        self.agenda.set(id.slot(), beat);
    }

    fn leave(&mut self, id: EndpointId) {
        if self.watch(id).is_some() {
            self.watches[id.slot()].listed = false;
            self.agenda.clear(id.slot());
        }
    }

    /// Asks an endpoint.
    fn probe(&mut self, now: Instant, slot: usize) {
        let watch = &mut self.watches[slot];
        watch.number = watch.number.wrapping_add(1);
        watch.open = true;
        self.probes.push_back(Probe { endpoint: watch.id, number: watch.number });
        self.agenda.set(slot, now + self.config.timeout);
    }

    /// Lets an endpoint be until its next beat. Beats that passed while a probe was open are skipped, and the
    /// others stay where they were.
    fn rest(&mut self, now: Instant, slot: usize) {
        let watch = &mut self.watches[slot];
        let interval = self.config.interval;
        let missed = now.since(watch.beat).as_nanos().div_ceil(interval.as_nanos());
        watch.beat += interval.saturating_mul(missed);
        self.agenda.set(slot, watch.beat);
    }

    fn answered(&mut self, now: Instant, slot: usize) {
        let watch = &mut self.watches[slot];
        watch.open = false;
        watch.misses = 0;
        if watch.health == Health::Failed {
            watch.answers += 1;
            if watch.answers <= self.config.recover_successes {
                return self.probe(now, slot);
            }
        }
        self.judge(slot, Health::Healthy);
        self.rest(now, slot);
    }

    fn missed(&mut self, now: Instant, slot: usize) {
        let watch = &mut self.watches[slot];
        watch.open = false;
        watch.answers = 0;
        if watch.health != Health::Failed {
            watch.misses += 1;
            if watch.misses < self.config.misses {
                self.judge(slot, Health::Suspect);
                return self.probe(now, slot);
            }
            self.judge(slot, Health::Failed);
        }
        self.rest(now, slot);
    }

    fn judge(&mut self, slot: usize, health: Health) {
        let watch = &mut self.watches[slot];
        if watch.health != health {
            watch.health = health;
            self.verdicts.push_back((watch.id, health));
        }
    }

    fn advance(&mut self, now: Instant) {
        assert!(now >= self.latest, "time ran backwards");
        self.latest = now;
    }
}

impl HealthCheck for ThreeState {
    fn on_endpoints(&mut self, now: Instant, joined: &[EndpointId], left: &[EndpointId]) {
        self.advance(now);
        for id in left {
            self.leave(*id);
        }
        for id in joined {
            self.join(now, *id);
        }
    }

    fn poll_probe(&mut self) -> Option<Probe> {
        // Whoever left in the meantime is not asked.
        while let Some(probe) = self.probes.pop_front() {
            if self.is_open(probe) {
                return Some(probe);
            }
        }
        None
    }

    fn on_probed(&mut self, now: Instant, probe: Probe, ok: bool) {
        self.advance(now);
        if !self.is_open(probe) {
            return;
        }
        match ok {
            true => self.answered(now, probe.endpoint.slot()),
            false => self.missed(now, probe.endpoint.slot()),
        }
    }

    fn poll_verdict(&mut self) -> Option<(EndpointId, Health)> {
        while let Some((id, health)) = self.verdicts.pop_front() {
            if self.watch(id).is_some() {
                return Some((id, health));
            }
        }
        None
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| at)
    }

    fn on_timeout(&mut self, now: Instant) {
        self.advance(now);
        while let Some((_, slot)) = self.agenda.first().filter(|(at, _)| *at <= now) {
            if self.watches[slot].open {
                self.missed(now, slot);
            } else {
                self.watches[slot].beat += self.config.interval;
                self.probe(now, slot);
            }
        }
    }
}

#[cfg(test)]
mod tests;
