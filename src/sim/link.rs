//! The network: how long a message takes, whether it arrives, who is cut off from whom.

use crate::base::dist::Sampler;
use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::rand::{Bits, Chance, Draws, Purpose};
use crate::base::time::Duration;
use crate::fault::effect::{Cause, CutMode, Side};
use crate::scenario::plan::Plan;

/// Where somebody is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) zone: ZoneId,
    pub(super) region: RegionId,
    pub(super) backend: Option<BackendId>,
}

/// The state of the network.
#[derive(Debug)]
pub(super) struct Network {
    zones: usize,
    delays: Vec<Sampler>,
    /// Delays that never vary, where they do not: the common case costs no draw.
    fixed: Vec<Option<Duration>>,
    /// What every way takes as long as all take the same, nothing is lost and nobody is cut off.
    every: Option<Duration>,
    loss: f64,
    retransmit: Duration,
    connect: Duration,
    cuts: Vec<(Cause, Side, CutMode)>,
    losses: Vec<(Cause, Side, f64)>,
}

impl Network {
    pub(super) fn new(plan: &Plan) -> Network {
        let delays: Vec<Sampler> = plan.network.delays.iter().map(|law| law.compile()).collect();
        let mut network = Network {
            zones: plan.zones.len(),
            every: None,
            fixed: delays.iter().map(Sampler::constant).collect(),
            delays,
            loss: plan.network.loss.value(),
            retransmit: plan.network.retransmit,
            connect: plan.network.connect,
            cuts: Vec::new(),
            losses: Vec::new(),
        };
        network.every = network.same_for_every_way();
        network
    }

    /// What every way takes while it matters neither whose it is nor when: most networks, most of the time.
    #[inline(always)]
    pub(super) fn every_way(&self) -> Option<Duration> {
        self.every
    }

    fn same_for_every_way(&self) -> Option<Duration> {
        let first = *self.fixed.first()?;
        let whole = self.loss == 0.0 && self.losses.is_empty() && self.cuts.is_empty();
        first.filter(|_| whole && self.fixed.iter().all(|delay| *delay == first))
    }

    /// One way of a message: its delay, sent again after each loss as a transport does.
    #[inline(always)]
    pub(super) fn one_way(&self, from: &Place, to: &Place, draw_key: u64, attempt: u32, leg: Purpose) -> Duration {
        let pair = from.zone.index() * self.zones + to.zone.index();
        match self.fixed[pair] {
            Some(delay) if self.loss == 0.0 && self.losses.is_empty() => delay,
            _ => self.varied(pair, from, to, Draws::new(draw_key, attempt, leg)),
        }
    }

    fn varied(&self, pair: usize, from: &Place, to: &Place, mut draws: Draws) -> Duration {
        let mut delay = self.delays[pair].sample(&mut draws);
        let chance = Chance::new(self.loss_between(from, to));
        let mut wait = self.retransmit;
        // A transport gives up at last; by then every deadline has passed.
        for _ in 0..10 {
            if chance.is_never() || !draws.chance(chance) {
                break;
            }
            delay = delay.saturating_add(wait);
            wait = wait.saturating_mul(2);
        }
        delay
    }

    fn loss_between(&self, a: &Place, b: &Place) -> f64 {
        let through = self.losses.iter().filter(|(_, side, _)| crosses(side, a, b)).map(|(_, _, loss)| 1.0 - loss);
        1.0 - (1.0 - self.loss) * through.product::<f64>()
    }

    /// What a new connection takes: a round trip, and the set-up besides.
    pub(super) fn connect_time(&self, from: &Place, to: &Place, draw_key: u64) -> Duration {
        let way = self.one_way(from, to, draw_key, 0, Purpose::Outbound);
        way.saturating_add(self.one_way(to, from, draw_key, 0, Purpose::Inbound)).saturating_add(self.connect)
    }

    /// How two are cut off from each other, if they are. A refusal shows before a black hole.
    #[inline(always)]
    pub(super) fn cut(&self, a: &Place, b: &Place) -> Option<CutMode> {
        if self.cuts.is_empty() {
            return None;
        }
        let mut found = None;
        for (_, side, mode) in self.cuts.iter().filter(|(_, side, _)| severs(side, a, b)) {
            let _ = side;
            match mode {
                CutMode::Refuse => return Some(CutMode::Refuse),
                CutMode::Blackhole => found = Some(CutMode::Blackhole),
            }
        }
        found
    }

    /// Whether somebody is cut off from what lies outside every cut: the registry.
    pub(super) fn is_cut_off(&self, place: &Place) -> bool {
        self.cuts.iter().any(|(_, side, _)| contains(side, place))
    }

    pub(super) fn set_cut(&mut self, cause: Cause, side: &Side, mode: Option<CutMode>) {
        self.cuts.retain(|(by, at, _)| *by != cause || at != side);
        self.cuts.extend(mode.map(|mode| (cause, side.clone(), mode)));
        self.every = self.same_for_every_way();
    }

    pub(super) fn set_loss(&mut self, cause: Cause, side: &Side, probability: Option<f64>) {
        self.losses.retain(|(by, at, _)| *by != cause || at != side);
        self.losses.extend(probability.map(|probability| (cause, side.clone(), probability)));
        self.every = self.same_for_every_way();
    }
}

/// After this long an answer to a connection request no longer comes (gRPC's minimum connect timeout).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

fn contains(side: &Side, place: &Place) -> bool {
    match side {
        Side::Region(region) => place.region == *region,
        Side::Zone(zone) => place.zone == *zone,
        Side::Backends(backends) => place.backend.is_some_and(|backend| backends.contains(&backend)),
        Side::All => true,
    }
}

/// A cut lies between who is in the set and who is not; a cut around everybody lies between all.
fn severs(side: &Side, a: &Place, b: &Place) -> bool {
    *side == Side::All || contains(side, a) != contains(side, b)
}

/// Loss touches every message to or from the set.
fn crosses(side: &Side, a: &Place, b: &Place) -> bool {
    contains(side, a) || contains(side, b)
}
