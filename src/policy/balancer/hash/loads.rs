//! Attempts and weights summed over the endpoints that share the load of a hashing balancer.

use super::shared::Hold;
use crate::base::id::EndpointId;
use crate::policy::balancer::Endpoints;

/// Sums that are counted when members or readiness have changed, and kept up with every attempt from then on.
#[derive(Debug)]
pub struct Loads {
    /// By slot: who stands there, and whether it shares the load.
    marks: Vec<Option<(EndpointId, bool)>>,
    /// Places of those that share the load: ready, and with a weight.
    pub sharing: Vec<u32>,
    /// Their weights together.
    pub weight: u64,
    /// By place: the weight of all that share the load and come before it in the list (HAProxy).
    pub before: Vec<u64>,
    /// Attempts open on them.
    pub open: u64,
    /// Attempts open on all members.
    pub open_all: u64,
    /// True from a change until the next count.
    stale: bool,
}

impl Default for Loads {
    fn default() -> Self {
        Loads { marks: vec![], sharing: vec![], weight: 0, before: vec![], open: 0, open_all: 0, stale: true }
    }
}

impl Loads {
    /// Members, weights or readiness have changed.
    pub fn forget(&mut self) {
        self.stale = true;
    }

    /// Counts anew after a change, over the places of the table that `hold` has.
    #[inline]
    pub fn refresh(&mut self, hold: &Hold, endpoints: &Endpoints<'_>) {
        if self.stale {
            self.recount(hold, endpoints);
        }
    }

    /// An attempt began or ended.
    pub fn count(&mut self, endpoint: EndpointId, change: i64) {
        if self.stale {
            return; // The view counts it already.
        }
        if let Some(Some((id, sharing))) = self.marks.get(endpoint.slot())
            && *id == endpoint
        {
            self.open_all = self.open_all.saturating_add_signed(change);
            if *sharing {
                self.open = self.open.saturating_add_signed(change);
            }
        }
    }

    #[cold]
    fn recount(&mut self, hold: &Hold, endpoints: &Endpoints<'_>) {
        let open = |id: &EndpointId| u64::from(endpoints.in_flight(*id));
        self.marks.clear();
        for id in endpoints.members {
            if self.marks.len() <= id.slot() {
                self.marks.resize(id.slot() + 1, None);
            }
            self.marks[id.slot()] = Some((*id, false));
        }
        self.open_all = endpoints.members.iter().map(open).sum();
        (self.open, self.weight) = (0, 0);
        self.sharing.clear();
        for (place, id) in hold.ids().iter().enumerate().filter(|(_, id)| endpoints.is_ready(**id)) {
            self.marks[id.slot()] = Some((*id, true));
            self.sharing.push(place as u32);
            self.open += open(id);
            self.weight += u64::from(hold.weights()[place]);
        }
        self.note_weights_before(hold, endpoints);
        self.stale = false;
    }

    fn note_weights_before(&mut self, hold: &Hold, endpoints: &Endpoints<'_>) {
        let mut place_of = vec![None; self.marks.len()];
        for place in &self.sharing {
            place_of[hold.id(*place as usize).slot()] = Some(*place as usize);
        }
        self.before = vec![0; hold.ids().len()];
        let mut sum = 0;
        for place in endpoints.ready.iter().filter_map(|id| place_of[id.slot()]) {
            self.before[place] = sum;
            sum += u64::from(hold.weights()[place]);
        }
    }
}
