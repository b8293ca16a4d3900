//! A long random history: endpoints come and go, answers come in time, too late, twice or never.

use std::collections::BTreeMap;

use super::super::*;
use Health::{Failed, Healthy, Suspect};

/// What must hold whatever happens, told from the outside.
struct Witness {
    checker: ThreeState,
    rand: Rand,
    now: Instant,
    /// Every probe sent, in order.
    asked: Vec<Probe>,
    /// Endpoints on the list.
    listed: Vec<EndpointId>,
    generation: [u32; 12],
    open: BTreeMap<EndpointId, (Probe, Instant)>,
    misses: BTreeMap<EndpointId, u32>,
    health: BTreeMap<EndpointId, Health>,
}

impl Witness {
    fn step(&mut self) {
        self.now += Duration::from_millis(self.rand.below(40));
        self.checker.on_timeout(self.now);
        self.drain();
        match self.rand.below(1_000) {
            0 if self.listed.len() < 12 => self.join(),
            1 if self.listed.len() > 6 => self.leave(),
            2..500 if !self.asked.is_empty() => self.answer(),
            _ => {}
        }
        self.drain();
        for id in &self.listed {
            assert_eq!(self.checker.health(*id), Some(self.health[id]));
        }
        let next = self.checker.next_timeout();
        assert_eq!(next.is_some(), !self.listed.is_empty(), "everybody has a next time");
        assert!(next.is_none_or(|next| next > self.now), "whatever is due was done");
    }

    fn join(&mut self) {
        let slot = (0..12).find(|slot| !self.listed.iter().any(|id| id.slot() == *slot)).unwrap();
        let id = EndpointId::new(slot as u32, self.generation[slot]);
        self.generation[slot] += 1;
        self.listed.push(id);
        self.health.insert(id, Healthy);
        self.checker.on_endpoints(self.now, &[id], &[]);
    }

    fn leave(&mut self) {
        let id = self.listed.swap_remove(self.rand.below(self.listed.len() as u64) as usize);
        self.health.remove(&id);
        self.open.remove(&id);
        self.checker.on_endpoints(self.now, &[], &[id]);
    }

    /// One of the latest probes is answered: in time, or too late, or once more.
    fn answer(&mut self) {
        let back = self.rand.below(self.asked.len().min(8) as u64) as usize;
        let probe = self.asked[self.asked.len() - 1 - back];
        let ok = self.rand.below(3) > 0;
        let expired = self.expired(probe.endpoint);
        if self.open.get(&probe.endpoint).is_some_and(|(open, _)| *open == probe) && !expired {
            self.open.remove(&probe.endpoint);
            let misses = self.misses.entry(probe.endpoint).or_default();
            *misses = if ok { 0 } else { *misses + 1 };
        }
        self.checker.on_probed(self.now, probe, ok);
    }

    fn expired(&self, id: EndpointId) -> bool {
        self.open.get(&id).is_some_and(|(_, since)| self.now - *since >= Config::default().timeout)
    }

    fn drain(&mut self) {
        while let Some((id, health)) = self.checker.poll_verdict() {
            self.judged(id, health);
        }
        while let Some(probe) = self.checker.poll_probe() {
            assert!(self.health.contains_key(&probe.endpoint), "{probe:?} goes to somebody who left");
            let expired = self.expired(probe.endpoint);
            if let Some((before, _)) = self.open.insert(probe.endpoint, (probe, self.now)) {
                assert!(expired, "{before:?} was still open");
                *self.misses.entry(probe.endpoint).or_default() += 1;
            }
            self.asked.push(probe);
        }
    }

    fn judged(&mut self, id: EndpointId, health: Health) {
        let before = self.health.insert(id, health).expect("a verdict is about somebody on the list");
        let misses = self.misses.get(&id).copied().unwrap_or(0) + u32::from(self.expired(id));
        match (before, health) {
            (Healthy, Suspect) => assert_eq!(misses, 1),
            (Suspect, Failed) => assert_eq!(misses, 3),
            (Suspect | Failed, Healthy) => assert_eq!(misses, 0),
            other => panic!("{other:?} is no step"),
        }
    }
}

#[test]
fn a_long_random_history_keeps_its_promises() {
    let mut witness = Witness {
        checker: Config::default().build(&Seed::new(11)),
        rand: Seed::new(11).stream("history"),
        now: Instant::ZERO,
        asked: vec![],
        listed: vec![],
        generation: [0; 12],
        open: BTreeMap::new(),
        misses: BTreeMap::new(),
        health: BTreeMap::new(),
    };
    let capacities = |checker: &ThreeState| (checker.probes.capacity(), checker.verdicts.capacity());
    (0..50_000).for_each(|_| witness.step());
    let warm = capacities(&witness.checker);
    (0..150_000).for_each(|_| witness.step());
    assert_eq!(capacities(&witness.checker), warm, "no allocation after the warm-up");
    assert!(witness.asked.len() > 5_000, "{} probes", witness.asked.len());
}
