//! What the machines of a channel want done.

use super::{BALANCER_PROBE, Channel};
use crate::base::time::Instant;
use crate::policy::balancer::Want;
use crate::policy::endpoints::Connectivity;
use crate::policy::exchange::Action;
use crate::policy::health::Probe;

impl Channel {
    /// Takes over what the machines decided meanwhile.
    #[inline(always)]
    pub(super) fn collect_wants(&mut self, now: Instant) {
        if self.health.is_some() {
            self.collect_health(now);
        }
        if self.only_picks {
            return;
        }
        if let Some(first) = self.balancer.poll_want() {
            self.meet_wants(now, first);
        }
    }

    #[cold]
    fn meet_wants(&mut self, now: Instant, first: Want) {
        let mut next = Some(first);
        while let Some(want) = next {
            match want {
                Want::Resolve => self.actions.push(Action::Resolve),
                Want::PickAgain => self.pick_again(now),
                Want::Connect(id) => {
                    if let Some(address) = self.table.get(id).map(|entry| entry.address) {
                        self.connect(now, address);
                    }
                }
                Want::Probe(endpoint) => self.probe(Probe { endpoint, number: BALANCER_PROBE }),
                Want::Watch(id) => {
                    let entry = self.table.get(id).filter(|entry| entry.connectivity == Connectivity::Ready);
                    if let Some(address) = entry.map(|entry| entry.address) {
                        self.actions.push(Action::Watch(address));
                    }
                }
            }
            next = self.balancer.poll_want();
        }
    }

    fn collect_health(&mut self, now: Instant) {
        let mut changed = false;
        while let Some((id, health)) = self.health.as_mut().and_then(|health| health.poll_verdict()) {
            changed |= self.table.set_health(now, id, health) || self.balancer.heeds_health();
        }
        while let Some(probe) = self.health.as_mut().and_then(|health| health.poll_probe()) {
            self.probe(probe);
        }
        if changed {
            self.endpoints_changed(now);
        }
    }

    fn probe(&mut self, probe: Probe) {
        if let Some(address) = self.table.get(probe.endpoint).map(|entry| entry.address) {
            self.actions.push(Action::Probe { probe, address });
        }
    }
}
