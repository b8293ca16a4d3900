//! The client's view of its servers: who is listed, who is ready, and how many attempts are open on each.
//!
//! [`Table`] owns the view of one channel; [`Endpoints`] is what a balancer is shown of it. A nesting balancer
//! shows its children narrower `Endpoints` over the same table, so ids and counts are the same at every level.
//! The table merges connectivity and health into one word, *ready*: a balancer never sees more.

mod open;

use std::sync::Arc;

use crate::base::id::{Address, EndpointId, RegionId, ZoneId};
use crate::base::metadata::Metadata;
use crate::base::time::Instant;
pub use open::MOST_OPEN;
use open::Open;

/// A server as name resolution lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Where it can be reached.
    pub address: Address,
    /// The address as text, `10.0.0.1:80`: what hash policies hash.
    pub name: Arc<str>,
    /// Static weight. 0: never picked by static weighted policies unless all are 0.
    pub weight: u32,
    /// Its zone.
    pub zone: ZoneId,
    /// The region of that zone.
    pub region: RegionId,
    /// When its process was started; `None`: long ago.
    pub started: Option<Instant>,
    /// How it is said to be, as a control plane does (Envoy's EDS `health_status`). Nothing said is `Healthy`.
    pub health: Health,
    /// What it is, in words of its owner (Envoy's EDS `metadata`).
    pub metadata: Metadata,
}

/// gRPC's connectivity states (<https://grpc.github.io/grpc/core/md_doc_connectivity-semantics-and-api.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connectivity {
    /// No connection, and none wanted yet.
    #[default]
    Idle,
    /// A connection is being made.
    Connecting,
    /// Calls can be sent.
    Ready,
    /// The last try failed; waiting before the next.
    TransientFailure,
}

/// What active health checking says, and what name resolution says. Without either every endpoint is `Healthy`; of two
/// that differ the worse counts, as in Envoy, and the later variant is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Health {
    /// Serving, as far as is known.
    #[default]
    Healthy,
    /// A probe was missed, or it is announced as degraded: used only where no healthy endpoint is left (unless
    /// configured otherwise).
    Suspect,
    /// Announced as about to go: it gets no calls but those of sessions that it has. Better than failed, because it
    /// still serves; worse than suspect, because it is no last resort (Envoy's `HostImpl::healthStatus` looks for a
    /// failed check first, then for what EDS says is draining, then for what is degraded).
    Draining,
    /// Not used.
    Failed,
}

/// Who of those that are connected can be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Eligible {
    /// Whoever the table says is ready: by their health, and what becomes of suspects.
    #[default]
    Ready,
    /// Suspects and nobody else, where they are a last resort (Envoy's degraded hosts).
    Degraded,
    /// Everybody, whatever their health (Envoy's panic).
    Anybody,
}

/// One endpoint of the table.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Static weight.
    pub weight: u32,
    /// Where it can be reached.
    pub address: Address,
    /// Its zone.
    pub zone: ZoneId,
    /// Its region.
    pub region: RegionId,
    /// State of the connection.
    pub connectivity: Connectivity,
    /// The worse of what the health checker and the list say.
    pub health: Health,
    /// When it last became ready: slow start counts from here.
    pub ready_since: Instant,
    /// When its process was started, by the list; `None`: long ago.
    pub started: Option<Instant>,
    /// Verdict of the health checker.
    verdict: Health,
    /// What the list says of it.
    announced: Health,
    /// Its place in the resolver's answer, for the name.
    listing: u32,
    /// False once it has left.
    listed: bool,
}

impl Endpoint {
    /// True if it is announced as draining, whatever a health checker says. Envoy then leaves it out where it counts
    /// how many of all hosts are healthy (its `excludedHosts`).
    pub fn is_draining(&self) -> bool {
        self.announced == Health::Draining
    }

    /// How it is announced, whatever a health checker says.
    pub fn announced(&self) -> Health {
        self.announced
    }
}

/// What a balancer is shown.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints<'a> {
    /// Everything that is known about each endpoint.
    pub table: &'a Table,
    /// All listed endpoints that this balancer is responsible for, in the order of the list.
    pub members: &'a [EndpointId],
    /// Those of them that can be picked, in the same order.
    pub ready: &'a [EndpointId],
    /// Who can be picked.
    pub eligible: Eligible,
    /// Whoever [may be connected](Table::may_be_connected) can be picked too, unless only the degraded are eligible.
    pub unconnected: bool,
}

impl<'a> Endpoints<'a> {
    /// Attempts that this client has open on the endpoint.
    #[inline]
    pub fn in_flight(&self, id: EndpointId) -> u32 {
        self.table.in_flight(id)
    }

    /// What is known of an endpoint; `None` if it is gone.
    #[inline]
    pub fn get(&self, id: EndpointId) -> Option<&'a Endpoint> {
        self.table.get(id)
    }

    /// The same endpoints, narrowed to other lists.
    pub fn narrowed<'b>(&self, members: &'b [EndpointId], ready: &'b [EndpointId]) -> Endpoints<'b>
    where
        'a: 'b,
    {
        Endpoints { table: self.table, members, ready, ..*self }
    }

    /// True if some member is connecting, so that a call may wait.
    pub fn any_connecting(&self) -> bool {
        self.members
            .iter()
            .filter_map(|id| self.get(*id))
            .any(|endpoint| endpoint.connectivity == Connectivity::Connecting)
    }

    /// True if some member has no connection and none wanted yet.
    pub fn any_idle(&self) -> bool {
        self.members.iter().filter_map(|id| self.get(*id)).any(|endpoint| endpoint.connectivity == Connectivity::Idle)
    }

    /// True if the endpoint can be picked.
    #[inline]
    pub fn is_ready(&self, id: EndpointId) -> bool {
        match self.eligible {
            Eligible::Ready => self.table.is_ready(id) || (self.unconnected && self.table.may_be_connected(id)),
            other => self.is_eligible(id, other),
        }
    }

    #[cold]
    fn is_eligible(&self, id: EndpointId, eligible: Eligible) -> bool {
        let unconnected = self.unconnected && eligible != Eligible::Degraded;
        self.get(id).is_some_and(|endpoint| self.table.admits(endpoint, eligible))
            || (unconnected && self.table.may_be_connected(id))
    }

    /// True if the endpoint is not counted among those that are healthy, but could be picked if there were too few.
    pub fn is_degraded(&self, endpoint: &Endpoint) -> bool {
        self.eligible == Eligible::Ready && self.table.is_last_resort(endpoint)
    }
}

/// A channel's endpoints.
#[derive(Debug, Clone, Default)]
pub struct Table {
    entries: Vec<Endpoint>,
    /// What every call asks of them, packed: a large fleet's entries do not fit in a processor's cache.
    open: Vec<Open>,
    /// By place: the generation of who can be picked there, or [`NOBODY`]. Not asked of `open`, though that has the
    /// generation too: it is written with every call, and a processor would wait to see whether that was for this place.
    pickable: Vec<u16>,
    /// Where each can be reached; empty as long as that is the number of its place, as in a fleet that never changed.
    addresses: Vec<Address>,
    free: Vec<u32>,
    /// `slot + 1` by address; 0 is none.
    by_address: Vec<u32>,
    listings: Arc<[Listing]>,
    members: Vec<EndpointId>,
    ready: Vec<EndpointId>,
    suspects: SuspectRule,
}

/// No generation of an endpoint.
const NOBODY: u16 = EndpointId::GENERATIONS as u16;

/// What is said of whom nobody speaks of.
static UNDESCRIBED: Metadata = Metadata::NONE;

/// What becomes of suspects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuspectRule {
    /// Used only where no healthy endpoint is left.
    #[default]
    LastResort,
    /// Used like healthy ones.
    Include,
    /// Never used.
    Exclude,
}

/// How the list changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Endpoints that are new.
    pub joined: Vec<EndpointId>,
    /// Endpoints that are gone.
    pub left: Vec<EndpointId>,
    /// Endpoints that the list no longer calls draining or failed.
    pub returned: Vec<EndpointId>,
    /// True if a weight, a zone, an announced health or metadata changed.
    pub altered: bool,
}

impl Change {
    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && !self.altered
    }
}

impl Table {
    /// An empty table.
    pub fn new(suspects: SuspectRule) -> Table {
        Table { suspects, ..Table::default() }
    }

    /// The view of the whole table.
    #[inline]
    pub fn view(&self) -> Endpoints<'_> {
        let (members, ready) = (self.members.as_slice(), self.ready.as_slice());
        Endpoints { table: self, members, ready, eligible: Eligible::Ready, unconnected: false }
    }

    /// What is known of an endpoint; `None` if it is gone.
    #[inline]
    pub fn get(&self, id: EndpointId) -> Option<&Endpoint> {
        self.entries.get(id.slot()).filter(|entry| entry.id == id && entry.listed)
    }

    /// The address as text; empty if it is gone.
    pub fn name(&self, id: EndpointId) -> &str {
        self.get(id).map_or("", |entry| &self.listings[entry.listing as usize].name)
    }

    /// What the list says that the endpoint is; nothing if it is gone. It stays in the list, which all clients of a
    /// world share: most balancers never ask.
    pub fn metadata(&self, id: EndpointId) -> &Metadata {
        self.get(id).map_or(&UNDESCRIBED, |entry| &self.listings[entry.listing as usize].metadata)
    }

    /// A copy in which endpoints weigh otherwise, for a balancer that shows its child other weights.
    pub fn reweighted(&self, weight: impl Fn(&Endpoint) -> u32) -> Table {
        let mut table = self.clone();
        for entry in table.entries.iter_mut().filter(|entry| entry.listed) {
            entry.weight = weight(entry);
        }
        table
    }

    /// Attempts open on the endpoint; 0 if it is gone.
    #[inline]
    pub fn in_flight(&self, id: EndpointId) -> u32 {
        self.open.get(id.slot()).map_or(0, |open| open.in_flight())
    }

    /// True if the endpoint can be picked.
    #[inline]
    pub fn is_ready(&self, id: EndpointId) -> bool {
        self.pickable.get(id.slot()).is_some_and(|generation| u32::from(*generation) == id.generation())
    }

    /// True if calls would reach the endpoint, though its health may speak against it.
    pub fn is_connected(&self, id: EndpointId) -> bool {
        self.get(id).is_some_and(|entry| entry.connectivity == Connectivity::Ready)
    }

    /// True if nothing speaks against the endpoint, connected or not: it is healthy, and the last try to connect it has
    /// not failed.
    pub fn may_be_connected(&self, id: EndpointId) -> bool {
        let fits =
            |entry: &Endpoint| entry.health == Health::Healthy && entry.connectivity != Connectivity::TransientFailure;
        self.get(id).is_some_and(fits)
    }

    /// True if such an endpoint can be picked where these are eligible.
    fn admits(&self, endpoint: &Endpoint, eligible: Eligible) -> bool {
        match eligible {
            Eligible::Ready => self.is_ready(endpoint.id),
            Eligible::Degraded => self.is_last_resort(endpoint) && endpoint.connectivity == Connectivity::Ready,
            Eligible::Anybody => endpoint.connectivity == Connectivity::Ready,
        }
    }

    /// True if it is a suspect, and suspects are used only where nobody is healthy.
    fn is_last_resort(&self, endpoint: &Endpoint) -> bool {
        endpoint.health == Health::Suspect && self.suspects == SuspectRule::LastResort
    }

    /// What becomes of suspects.
    pub fn suspects(&self) -> SuspectRule {
        self.suspects
    }

    /// Where an endpoint can be reached; `None` if it is gone. Of what every call asks, which is likely to be at hand.
    pub fn address(&self, id: EndpointId) -> Option<Address> {
        self.open.get(id.slot()).filter(|open| open.is_of(id)).map(|_| self.address_of(id.slot()))
    }

    #[inline(always)]
    fn address_of(&self, slot: usize) -> Address {
        self.addresses.get(slot).copied().unwrap_or(Address(slot as u32))
    }

    fn set_address(&mut self, slot: usize, address: Address) {
        if self.addresses.is_empty() {
            if address.index() == slot {
                return;
            }
            self.addresses = (0..self.entries.len() as u32).map(Address).collect();
        }
        self.addresses[slot] = address;
    }

    /// The endpoint at this address.
    pub fn at(&self, address: Address) -> Option<EndpointId> {
        let slot = *self.by_address.get(address.index())?;
        (slot > 0).then(|| self.entries[slot as usize - 1].id)
    }

    /// Takes over a resolver's answer. An address that stays keeps its id and all state; one that left and
    /// returns gets a new id.
    pub fn update(&mut self, listings: Arc<[Listing]>) -> Change {
        let mut change = Change::default();
        for entry in &mut self.entries {
            entry.listed = false;
        }
        let listed = std::mem::replace(&mut self.listings, listings.clone());
        let before = std::mem::take(&mut self.members);
        for (place, listing) in listings.iter().enumerate() {
            let id = match self.slot_of(listing.address) {
                Some(slot) => {
                    let said = listed.get(self.entries[slot].listing as usize);
                    change.altered |= said.is_some_and(|said| said.metadata != listing.metadata);
                    self.keep(slot, place, listing, &mut change)
                }
                None => self.join(place, listing, &mut change),
            };
            self.members.push(id);
        }
        for id in before {
            if !self.entries[id.slot()].listed {
                self.leave(id);
                change.left.push(id);
            }
        }
        self.rebuild_ready();
        change
    }

    fn slot_of(&self, address: Address) -> Option<usize> {
        self.by_address.get(address.index()).filter(|slot| **slot > 0).map(|slot| *slot as usize - 1)
    }

    fn keep(&mut self, slot: usize, place: usize, listing: &Listing, change: &mut Change) -> EndpointId {
        let entry = &mut self.entries[slot];
        change.altered |= entry.weight != listing.weight || entry.zone != listing.zone;
        change.altered |= entry.announced != listing.health;
        if entry.announced >= Health::Draining && listing.health < Health::Draining {
            change.returned.push(entry.id);
        }
        entry.weight = listing.weight;
        entry.zone = listing.zone;
        entry.region = listing.region;
        entry.announced = listing.health;
        entry.health = entry.verdict.max(listing.health);
        entry.started = listing.started;
        entry.listing = place as u32;
        entry.listed = true;
        entry.id
    }

    fn join(&mut self, place: usize, listing: &Listing, change: &mut Change) -> EndpointId {
        let (slot, generation) = match self.free.pop() {
            Some(slot) => (slot, self.entries[slot as usize].id.generation() + 1),
            None => (new_slot(self.entries.len()), 0),
        };
        let id = EndpointId::new(slot, generation);
        let entry = Endpoint {
            id,
            weight: listing.weight,
            address: listing.address,
            zone: listing.zone,
            region: listing.region,
            connectivity: Connectivity::Idle,
            health: listing.health,
            verdict: Health::Healthy,
            announced: listing.health,
            ready_since: Instant::ZERO,
            started: listing.started,
            listing: place as u32,
            listed: true,
        };
        let open = Open::none(id);
        if slot as usize == self.entries.len() {
            self.entries.push(entry);
            self.open.push(open);
            self.pickable.push(NOBODY);
            if !self.addresses.is_empty() {
                self.addresses.push(listing.address);
            }
        } else {
            self.entries[slot as usize] = entry;
            self.open[slot as usize] = open;
        }
        self.set_address(slot as usize, listing.address);
        let address = listing.address.index();
        if self.by_address.len() <= address {
            self.by_address.resize(address + 1, 0);
        }
        self.by_address[address] = slot + 1;
        change.joined.push(id);
        id
    }

    fn leave(&mut self, id: EndpointId) {
        let entry = &self.entries[id.slot()];
        self.by_address[entry.address.index()] = 0;
        self.pickable[id.slot()] = NOBODY;
        // An attempt that is still open names the old generation and finds nothing, so the place can be reused.
        if id.generation() + 1 < EndpointId::GENERATIONS {
            self.free.push(id.slot() as u32);
        }
    }

    /// Notes a connectivity state. True if that changed who is ready.
    pub fn set_connectivity(&mut self, now: Instant, id: EndpointId, connectivity: Connectivity) -> bool {
        let Some(entry) = self.entry_mut(id) else { return false };
        if entry.connectivity == connectivity {
            return false;
        }
        if connectivity == Connectivity::Ready {
            entry.ready_since = now;
        }
        let was_ready = entry.connectivity == Connectivity::Ready;
        entry.connectivity = connectivity;
        if was_ready || connectivity == Connectivity::Ready { self.rebuild_ready() } else { false }
    }

    /// Notes connectivity for many endpoints at once: a channel that begins connected. True if anyone became ready.
    pub fn connect_all(&mut self, now: Instant, ids: &[EndpointId]) -> bool {
        for id in ids {
            if let Some(entry) = self.entry_mut(*id) {
                entry.connectivity = Connectivity::Ready;
                entry.ready_since = now;
            }
        }
        self.rebuild_ready()
    }

    /// Notes that endpoints have [returned](Change::returned): they are as new, and start slowly if they do.
    pub fn renew(&mut self, now: Instant, ids: &[EndpointId]) {
        for id in ids {
            if let Some(entry) = self.entry_mut(*id) {
                entry.ready_since = now;
            }
        }
    }

    /// Notes a health verdict. True if that changed who is ready.
    pub fn set_health(&mut self, now: Instant, id: EndpointId, health: Health) -> bool {
        let Some(entry) = self.entry_mut(id) else { return false };
        if entry.verdict == health {
            return false;
        }
        if health == Health::Healthy && entry.verdict == Health::Failed {
            entry.ready_since = now;
        }
        entry.verdict = health;
        entry.health = health.max(entry.announced);
        self.rebuild_ready()
    }

    fn entry_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.entries.get_mut(id.slot()).filter(|entry| entry.id == id && entry.listed)
    }

    /// An attempt is sent: counted, and the address it goes to. `None` if the endpoint is gone.
    #[inline(always)]
    pub fn send_to(&mut self, id: EndpointId) -> Option<Address> {
        let open = self.open.get_mut(id.slot()).filter(|open| open.is_of(id))?;
        open.begin();
        Some(self.address_of(id.slot()))
    }

    /// An attempt was sent.
    #[inline]
    pub fn on_sent(&mut self, id: EndpointId) {
        self.send_to(id);
    }

    /// An attempt ended. One that outlived its endpoint changes nothing.
    #[inline(always)]
    pub fn on_ended(&mut self, id: EndpointId) {
        let open = &mut self.open[id.slot()];
        if open.is_of(id) {
            open.end();
        }
    }

    /// Works out who is ready. True if that changed.
    fn rebuild_ready(&mut self) -> bool {
        let connected = |entry: &Endpoint| entry.connectivity == Connectivity::Ready;
        let healthy_left = self.suspects != SuspectRule::LastResort
            || self.members.iter().any(|id| {
                let entry = &self.entries[id.slot()];
                connected(entry) && entry.health == Health::Healthy
            });
        let before = std::mem::take(&mut self.ready);
        let mut ready = Vec::with_capacity(self.members.len());
        for id in &self.members {
            let entry = &self.entries[id.slot()];
            let suspect_ok = match self.suspects {
                SuspectRule::Include => true,
                SuspectRule::Exclude => false,
                SuspectRule::LastResort => !healthy_left,
            };
            let pickable = connected(entry)
                && match entry.health {
                    Health::Healthy => true,
                    Health::Suspect => suspect_ok,
                    Health::Draining | Health::Failed => false,
                };
            self.pickable[id.slot()] = if pickable { id.generation() as u16 } else { NOBODY };
            if pickable {
                ready.push(*id);
            }
        }
        let changed = before != ready;
        self.ready = ready;
        changed
    }
}

/// The place after so many that are taken.
///
/// # Panics
/// With 16 million of them, more than an id has room for; those that are never used again count.
fn new_slot(taken: usize) -> u32 {
    assert!(taken < EndpointId::SLOTS as usize, "a client has listed {taken} endpoints, and that is the most");
    taken as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(address: u32, weight: u32) -> Listing {
        Listing {
            address: Address(address),
            name: format!("10.0.0.{address}:80").into(),
            weight,
            zone: ZoneId(0),
            region: RegionId(0),
            started: None,
            health: Health::Healthy,
            metadata: Metadata::default(),
        }
    }

    fn table(addresses: &[u32]) -> (Table, Vec<EndpointId>) {
        let mut table = Table::new(SuspectRule::LastResort);
        let change = table.update(addresses.iter().map(|address| listing(*address, 1)).collect());
        for id in &change.joined {
            table.set_connectivity(Instant::ZERO, *id, Connectivity::Ready);
        }
        (table, change.joined)
    }

    #[test]
    fn an_address_that_stays_keeps_its_state_and_one_that_returns_is_new() {
        let (mut table, ids) = table(&[1, 2]);
        table.on_sent(ids[0]);
        let change = table.update([listing(1, 7)].into());
        assert_eq!((change.left, change.altered), (vec![ids[1]], true));
        assert_eq!((table.in_flight(ids[0]), table.get(ids[0]).unwrap().weight), (1, 7));
        let change = table.update([listing(1, 7), listing(2, 1)].into());
        assert_ne!(change.joined, vec![ids[1]], "an id is never used twice");
        assert!(table.get(ids[1]).is_none() && table.name(change.joined[0]) == "10.0.0.2:80");
    }

    #[test]
    fn calls_go_where_the_list_says_in_any_order() {
        let mut table = Table::new(SuspectRule::LastResort);
        for addresses in [&[0, 1, 2][..], &[0, 1, 2, 3], &[0, 2, 3, 9], &[2, 1, 9, 7, 4], &[0, 1, 2, 3]] {
            table.update(addresses.iter().map(|address| listing(*address, 1)).collect());
            for (id, address) in table.members.clone().into_iter().zip(addresses) {
                assert_eq!(table.send_to(id), Some(Address(*address)), "of {addresses:?}");
                assert_eq!((table.address(id), table.at(Address(*address))), (Some(Address(*address)), Some(id)));
            }
        }
        let (mut table, ids) = self::table(&[7, 5, 6]);
        let sent: Vec<_> = ids.into_iter().filter_map(|id| table.send_to(id)).collect();
        assert_eq!(sent, [7, 5, 6].map(Address));
    }

    #[test]
    fn what_ends_after_its_endpoint_left_changes_nothing() {
        let (mut table, ids) = table(&[1]);
        table.on_sent(ids[0]);
        table.update([].into());
        let new = table.update([listing(5, 1)].into()).joined[0];
        assert_eq!(new.slot(), ids[0].slot(), "the place is used again");
        table.on_ended(ids[0]);
        assert_eq!(table.in_flight(new), 0);
    }

    #[test]
    fn a_place_is_left_empty_before_a_generation_would_come_again() {
        let mut table = Table::new(SuspectRule::LastResort);
        let mut ids: Vec<EndpointId> = vec![];
        for turn in 0..3 * EndpointId::GENERATIONS {
            table.update([].into());
            let joined = table.update([listing(turn, 1)].into()).joined[0];
            assert!(!ids.contains(&joined), "{joined:?} is used twice");
            table.on_sent(joined);
            ids.push(joined);
        }
        assert_eq!(ids.last().map(|id| id.slot()), Some(2));
        let last = ids.pop().unwrap();
        ids.into_iter().for_each(|id| table.on_ended(id));
        assert_eq!((table.in_flight(last), table.address(last)), (1, Some(Address(3 * EndpointId::GENERATIONS - 1))));
    }

    #[test]
    fn the_worse_of_verdict_and_announcement_counts() {
        let said = |health| Listing { health, ..listing(1, 1) };
        let (mut table, ids) = table(&[1, 2]);
        let later = Instant::from_nanos(7);
        for (verdict, announced, ready) in [
            (Health::Healthy, Health::Failed, &ids[1..]),
            (Health::Failed, Health::Healthy, &ids[1..]),
            (Health::Failed, Health::Suspect, &ids[1..]),
            (Health::Suspect, Health::Failed, &ids[1..]),
            (Health::Suspect, Health::Healthy, &ids[1..]),
            (Health::Healthy, Health::Suspect, &ids[1..]),
            (Health::Healthy, Health::Draining, &ids[1..]),
            (Health::Suspect, Health::Draining, &ids[1..]),
            (Health::Failed, Health::Draining, &ids[1..]),
            (Health::Healthy, Health::Healthy, &ids[..]),
        ] {
            table.set_health(Instant::ZERO, ids[0], verdict);
            table.update([said(announced), listing(2, 1)].into());
            assert_eq!(table.view().ready, ready, "{verdict:?} and announced as {announced:?}");
        }
        table.update([said(Health::Failed), listing(2, 1)].into());
        assert_eq!(table.update([said(Health::Failed), listing(2, 1)].into()), Change::default(), "nothing is new");
        let change = table.update([said(Health::Suspect), listing(2, 1)].into());
        assert_eq!((&change.returned[..], change.altered), (&ids[..1], true));
        table.renew(later, &change.returned);
        assert_eq!(
            ids.iter().map(|id| table.get(*id).unwrap().ready_since).collect::<Vec<_>>(),
            [later, Instant::ZERO]
        );
        let third = |health| [said(health), listing(2, 1), Listing { health, ..listing(3, 1) }];
        let joined = table.update(third(Health::Failed).into()).joined;
        let returned = table.update(third(Health::Healthy).into()).returned;
        assert_eq!(returned, [ids[0], joined[0]], "whoever joins as failed returns like others");
    }

    #[test]
    fn a_draining_one_is_no_resort_and_keeps_its_connection() {
        let said = |health| [Listing { health, ..listing(1, 1) }, listing(2, 1)];
        let (mut table, ids) = table(&[1, 2]);
        table.on_sent(ids[0]);
        table.update(said(Health::Draining).into());
        table.set_health(Instant::ZERO, ids[1], Health::Failed);
        assert_eq!(table.view().ready, [], "nobody else is left, and still");
        assert!(table.is_connected(ids[0]) && table.in_flight(ids[0]) == 1);
        for (verdict, worse) in [(Health::Suspect, Health::Draining), (Health::Failed, Health::Failed)] {
            table.set_health(Instant::ZERO, ids[0], verdict);
            let endpoint = table.get(ids[0]).unwrap();
            assert_eq!((endpoint.health, endpoint.is_draining()), (worse, true));
        }
        // To fail after draining is not to return, and to be healthy after either is.
        assert_eq!(table.update(said(Health::Failed).into()).returned, []);
        assert_eq!(table.update(said(Health::Draining).into()).returned, []);
        assert_eq!(table.update(said(Health::Suspect).into()).returned, [ids[0]]);
    }

    #[test]
    fn who_is_eligible_can_be_picked() {
        let (mut table, ids) = table(&[1, 2, 3, 4]);
        table.set_health(Instant::ZERO, ids[1], Health::Suspect);
        table.set_health(Instant::ZERO, ids[2], Health::Failed);
        table.set_connectivity(Instant::ZERO, ids[3], Connectivity::Idle);
        let picked = |table: &Table, eligible| -> Vec<usize> {
            let view = Endpoints { eligible, ..table.view() };
            (0..4).filter(|place| view.is_ready(ids[*place])).collect()
        };
        assert_eq!(picked(&table, Eligible::Ready), [0]);
        assert_eq!(picked(&table, Eligible::Degraded), [1]);
        assert_eq!(picked(&table, Eligible::Anybody), [0, 1, 2]);
        table.suspects = SuspectRule::Include;
        assert!(picked(&table, Eligible::Degraded).is_empty(), "used like healthy ones they are not degraded");
    }

    #[test]
    fn other_metadata_is_a_change_and_goes_with_the_address() {
        let is =
            |address, version: &str| Listing { metadata: Metadata::of(&[("version", version)]), ..listing(address, 1) };
        let (mut table, ids) = table(&[1, 2]);
        assert!(ids.iter().all(|id| table.metadata(*id).is_empty()));
        assert!(table.update([is(1, "v1"), is(2, "v2")].into()).altered);
        assert_eq!(
            table.update([is(2, "v2"), is(1, "v1")].into()),
            Change::default(),
            "in another order, and not shared"
        );
        let versions = |table: &Table| ids.iter().map(|id| table.metadata(*id).to_string()).collect::<Vec<_>>();
        assert_eq!(versions(&table), ["version=v1", "version=v2"]);
        assert!(table.update([is(2, "v1"), is(1, "v1")].into()).altered);
        assert_eq!(versions(&table), ["version=v1", "version=v1"]);
        let change = table.update([is(1, "v1")].into());
        assert_eq!((change.altered, versions(&table)), (false, vec!["version=v1".to_owned(), String::new()]));
    }

    #[test]
    fn what_every_client_keeps_of_every_server_is_small() {
        assert_eq!((size_of::<Endpoint>(), size_of::<Open>()), (56, 4), "metadata stays in the list");
    }

    #[test]
    fn suspects_are_the_last_resort() {
        let (mut table, ids) = table(&[1, 2]);
        table.set_health(Instant::ZERO, ids[0], Health::Suspect);
        assert_eq!(table.view().ready, &ids[1..]);
        table.set_health(Instant::ZERO, ids[1], Health::Failed);
        assert_eq!(table.view().ready, &ids[..1]);
        table.set_health(Instant::ZERO, ids[1], Health::Suspect);
        assert_eq!(table.view().ready, &ids[..]);
    }

    #[test]
    #[should_panic = "listed 16777216 endpoints, and that is the most"]
    fn no_more_endpoints_are_listed_than_have_an_id() {
        let last = EndpointId::SLOTS - 1;
        assert_eq!(EndpointId::new(new_slot(last as usize), 0).slot(), last as usize);
        new_slot(EndpointId::SLOTS as usize);
    }
}
