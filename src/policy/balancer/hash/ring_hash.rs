//! gRPC's ring hash: points on a ring in proportion to weight, and a walk past endpoints that failed.
//!
//! Origin: gRFC A42, A61 (the walk) and A76 (calls without a key); grpc-go `balancer/ringhash`. Envoy RING_HASH
//! lays out the same ring, but builds it anew without unhealthy hosts; `hash = "murmur_hash_2"` is its other hash.
//! Observes: the call's key; connectivity.
//! Cost: O(log V) for V points in all and a walk past those that failed, at worst V. The ring is built at the
//! first pick after members or weights change, not when readiness does; clients of one run with the same members
//! share it (12 bytes a point).
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: a few keys carry most of the calls; members come and go, because the number of points of each
//! depends on how many there are, so keys move between endpoints that stayed (8 % from three to two); there are
//! more endpoints than points, because somebody then gets none.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::owners::{Layout, MOST_POINTS, PointHash};
use super::shared::Hold;
use super::{is_ready, unowned};
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request, Want};
use crate::policy::endpoints::Connectivity;

/// Parameters of `ring_hash`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub struct Config {
    /// How many points the ring has.
    pub sizes: Sizes,
    /// Who is connected before a call needs it.
    pub connect: Connect,
    /// What places the points.
    pub hash: PointHash,
}

/// How many points a ring has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "WrittenSizes", into = "WrittenSizes")]
pub struct Sizes {
    min: u32,
    max: u32,
}

impl Sizes {
    /// At least `min_ring` points, and at most `max_ring`.
    ///
    /// # Errors
    /// When there is no such ring.
    pub fn new(min_ring: u32, max_ring: u32) -> Result<Sizes, String> {
        if min_ring == 0 {
            return Err("`min_ring` is 1 or more: a ring without points holds nobody".to_owned());
        }
        if u64::from(max_ring) > MOST_POINTS {
            return Err(format!("`max_ring` is at most {MOST_POINTS}, not {max_ring}"));
        }
        if min_ring > max_ring {
            return Err(format!("`min_ring` ({min_ring}) is more than `max_ring` ({max_ring})"));
        }
        Ok(Sizes { min: min_ring, max: max_ring })
    }

    /// As a layout.
    pub fn layout(&self, hash: PointHash) -> Layout {
        Layout::AutoSized { min: self.min, max: self.max, hash }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { min: 1024, max: 4096 }
    }
}

/// Who is connected before a call needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connect {
    /// Everyone.
    #[default]
    All,
    /// No one, as in gRPC: the first call to an endpoint waits for its connection.
    Lazy,
}

/// Parameters as they are written, before they are checked.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Points that the ring should have at least: 1 to `max_ring`.
    min_ring: u32,
    /// Points that it has at most, up to 8388608. gRPC's default is 4096, Envoy's 8388608.
    max_ring: u32,
    /// Who is connected before a call needs it.
    connect: Connect,
    /// What places the points.
    hash: PointHash,
}

/// Sizes as they are written, before they are checked.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct WrittenSizes {
    /// Points that the ring should have at least: 1 to `max_ring`.
    min_ring: u32,
    /// Points that it has at most, up to 8388608.
    max_ring: u32,
}

impl Default for Written {
    fn default() -> Self {
        Config::default().into()
    }
}

impl Default for WrittenSizes {
    fn default() -> Self {
        Sizes::default().into()
    }
}

impl From<Config> for Written {
    fn from(Config { sizes, connect, hash }: Config) -> Written {
        Written { min_ring: sizes.min, max_ring: sizes.max, connect, hash }
    }
}

impl From<Sizes> for WrittenSizes {
    fn from(sizes: Sizes) -> WrittenSizes {
        WrittenSizes { min_ring: sizes.min, max_ring: sizes.max }
    }
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(Written { min_ring, max_ring, connect, hash }: Written) -> Result<Config, String> {
        Ok(Config { sizes: Sizes::new(min_ring, max_ring)?, connect, hash })
    }
}

impl TryFrom<WrittenSizes> for Sizes {
    type Error = String;

    fn try_from(written: WrittenSizes) -> Result<Sizes, String> {
        Sizes::new(written.min_ring, written.max_ring)
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let hold = Hold::new(self.sizes.layout(self.hash), &context.tables);
        Box::new(RingHash { connect: self.connect, hold, wants: VecDeque::new() })
    }
}

#[derive(Debug)]
struct RingHash {
    connect: Connect,
    hold: Hold,
    /// Endpoints to connect.
    wants: VecDeque<EndpointId>,
}

impl Balancer for RingHash {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.hold.note(endpoints.members, endpoints);
        self.wants.retain(|id| state(*id, endpoints) == Connectivity::Idle);
        self.keep_trying(endpoints);
    }

    fn pick(&mut self, _now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.hold.refresh(endpoints);
        let owners = self.hold.owners();
        if owners.is_empty() {
            return Pick::nobody(endpoints);
        }
        let entry = owners.enter(request.hash_or_random(), request.attempt);
        match request.hash {
            Some(_) => self.first_that_did_not_fail(entry, request, endpoints),
            None => self.first_ready(entry, request, endpoints),
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front().map(Want::Connect)
    }

    fn connects_all(&self) -> bool {
        self.connect == Connect::All
    }
}

impl RingHash {
    /// The walk of a call with a key (A61): failed endpoints are passed; the call waits for one that may yet
    /// become ready.
    fn first_that_did_not_fail(&mut self, entry: usize, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let found = {
            let owners = self.hold.owners().walk(entry).map(|place| self.hold.id(place));
            let mut states = owners.map(|id| (id, state(id, endpoints)));
            states.find(|(_, state)| *state != Connectivity::TransientFailure)
        };
        match found {
            None => unowned(request.hash_or_random(), endpoints),
            Some((id, Connectivity::Ready)) => Pick::To(id),
            Some((id, state)) => {
                if state == Connectivity::Idle {
                    self.want(id);
                }
                Pick::Queue
            }
        }
    }

    /// The walk of a call without a key (A76): it takes the first ready endpoint, and asks for one connection on
    /// the way unless some endpoint is already connecting.
    fn first_ready(&mut self, entry: usize, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let (mut ready, mut idle, mut connecting) = (None, None, false);
        for place in self.hold.owners().walk(entry) {
            let id = self.hold.id(place);
            match state(id, endpoints) {
                Connectivity::Ready => ready = Some(id),
                Connectivity::Idle => idle = idle.or(Some(id)),
                Connectivity::Connecting => connecting = true,
                Connectivity::TransientFailure => {}
            }
            if ready.is_some() {
                break;
            }
        }
        if let Some(id) = idle.filter(|_| !connecting && !endpoints.any_connecting()) {
            self.want(id);
        }
        match ready {
            Some(id) => Pick::To(id),
            None if idle.is_some() || connecting => Pick::Queue,
            None => unowned(request.hash_or_random(), endpoints),
        }
    }

    /// While some failed and nobody is ready, one connection is always being tried (A61), or a parent that waits
    /// for this balancer would never be asked again.
    fn keep_trying(&mut self, endpoints: &Endpoints<'_>) {
        let failed = || endpoints.members.iter().any(|id| state(*id, endpoints) == Connectivity::TransientFailure);
        if self.connect == Connect::Lazy && endpoints.ready.is_empty() && failed() && !endpoints.any_connecting() {
            let idle = endpoints.members.iter().filter(|id| state(**id, endpoints) == Connectivity::Idle);
            if let Some(id) = idle.min_by_key(|id| endpoints.table.name(**id)) {
                self.want(*id);
            }
        }
    }

    fn want(&mut self, id: EndpointId) {
        if !self.wants.contains(&id) {
            self.wants.push_back(id);
        }
    }
}

/// The state of an endpoint as the walk sees it: one that is connected but not to be used, because of its health
/// say, is passed like one that failed.
fn state(id: EndpointId, endpoints: &Endpoints<'_>) -> Connectivity {
    if is_ready(id, endpoints) {
        return Connectivity::Ready;
    }
    match endpoints.get(id).map(|endpoint| endpoint.connectivity) {
        Some(state @ (Connectivity::Idle | Connectivity::Connecting)) => state,
        _ => Connectivity::TransientFailure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::xxh64;
    use crate::base::status::Cause;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    fn pick(world: &mut World, key: &str) -> Pick {
        world.pick(&Request { hash: Some(xxh64(key.as_bytes(), 0)), ..Request::plain() })
    }

    fn last_octet(world: &mut World, key: &str) -> usize {
        world.pick_hash(xxh64(key.as_bytes(), 0)) + 1
    }

    #[test]
    fn vector_b_keys_and_failover_order() {
        let mut world = World::equal(3, &Config::default());
        let keys = ["user-1", "user-2", "user-3", "user-42", "hot"];
        assert_eq!(keys.map(|key| last_octet(&mut world, key)), [2, 2, 3, 2, 1]);
        for (key, order) in [("hot", [1, 3, 2]), ("user-1", [2, 1, 3])] {
            let mut world = World::equal(3, &Config::default());
            for expected in order {
                assert_eq!(last_octet(&mut world, key), expected, "failover of {key}");
                world.connectivity(expected - 1, Connectivity::TransientFailure);
            }
            assert_eq!(pick(&mut world, key), Pick::Fail(Cause::NoEndpoint));
        }
    }

    #[test]
    fn a_key_waits_for_its_endpoint_unless_that_failed() {
        let mut world = World::equal(3, &Config::default());
        world.connectivity(0, Connectivity::Connecting);
        assert_eq!(pick(&mut world, "hot"), Pick::Queue);
        assert_eq!(last_octet(&mut world, "user-1"), 2, "keys of others do not wait");
        world.connectivity(0, Connectivity::Idle);
        assert_eq!(pick(&mut world, "hot"), Pick::Queue);
        assert_eq!(pick(&mut world, "hot"), Pick::Queue);
        assert_eq!(world.balancer.poll_want(), Some(Want::Connect(world.id(0))));
        assert_eq!(world.balancer.poll_want(), None, "it is asked for once");
        world.connectivity(0, Connectivity::TransientFailure);
        assert_eq!(last_octet(&mut world, "hot"), 3);
        world.connectivity(0, Connectivity::Ready);
        world.health(0, Health::Failed);
        assert_eq!(last_octet(&mut world, "hot"), 3, "unhealthy is passed like failed");
    }

    #[test]
    fn without_a_key_the_first_ready_endpoint_takes_it() {
        let mut world = World::equal(3, &Config::default());
        let keyless = |hash| Request { random: xxh64(hash, 0), ..Request::plain() };
        world.connectivity(0, Connectivity::Idle);
        assert_eq!(world.pick(&keyless(b"hot")), Pick::To(world.id(2)));
        assert_eq!(world.balancer.poll_want(), Some(Want::Connect(world.id(0))));
        world.connectivity(1, Connectivity::Connecting);
        assert_eq!(world.pick(&keyless(b"hot")), Pick::To(world.id(2)));
        assert_eq!(world.balancer.poll_want(), None, "one connection at a time");
        world.connectivity(2, Connectivity::TransientFailure);
        assert_eq!(world.pick(&keyless(b"hot")), Pick::Queue);
    }

    #[test]
    fn a_further_attempt_starts_that_many_entries_on() {
        let config = Config { sizes: Sizes::new(12, 4096).unwrap(), ..Config::default() };
        let listings = (90..96).map(|port| crate::policy::endpoints::Listing {
            name: format!("127.0.0.1:{port}").into(),
            ..listing(port - 90, 1)
        });
        let mut world = World::of(listings.collect(), config.build(&Context::lone(1)));
        // Owners clockwise from the lowest point: vector A.
        let ring = [4, 2, 0, 5, 3, 1, 1, 3, 5, 2, 4, 0];
        for attempt in 0..24 {
            let request = Request { hash: Some(0), attempt, ..Request::plain() };
            assert_eq!(world.pick(&request), Pick::To(world.id(ring[attempt as usize % 12])));
        }
    }

    #[test]
    fn lazily_connected_it_keeps_trying_while_all_that_was_tried_failed() {
        let mut world = World::equal(3, &Config { connect: Connect::Lazy, ..Config::default() });
        assert!(!world.balancer.connects_all());
        for i in 0..3 {
            world.connectivity(i, Connectivity::Idle);
        }
        assert_eq!(world.balancer.poll_want(), None, "idle is no reason to connect");
        world.connectivity(1, Connectivity::TransientFailure);
        assert_eq!(world.balancer.poll_want(), Some(Want::Connect(world.id(0))));
        world.connectivity(0, Connectivity::Connecting);
        assert_eq!(world.balancer.poll_want(), None);
    }

    #[test]
    fn the_map_does_not_depend_on_the_order_of_the_list() {
        let order = [3_u32, 0, 4, 2, 1];
        let world = |order: &[u32]| {
            let listings = order.iter().map(|i| listing(*i, 1 + i % 2)).collect();
            World::of(listings, Config::default().build(&Context::lone(1)))
        };
        let (mut mixed, mut straight) = (world(&order), world(&[0, 1, 2, 3, 4]));
        for key in 0..500_u64 {
            let hash = xxh64(&key.to_le_bytes(), 0);
            assert_eq!(order[mixed.pick_hash(hash)] as usize, straight.pick_hash(hash));
        }
    }

    #[test]
    fn sizes_are_checked() {
        let message = |text| toml::from_str::<Config>(text).unwrap_err().message().to_owned();
        assert!(message("min_ring = 0").contains("`min_ring` is 1 or more"));
        assert!(message("min_ring = 5000").contains("more than `max_ring` (4096)"));
        assert!(message("max_ring = 9_000_000").contains("at most 8388608"));
        assert!(message("ring = 1").contains("unknown field `ring`"));
        let written = toml::from_str::<Config>("max_ring = 6\nmin_ring = 6\nconnect = 'lazy'").unwrap();
        assert_eq!(written, Config { sizes: Sizes::new(6, 6).unwrap(), connect: Connect::Lazy, ..Config::default() });
        let json = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(json, r#"{"min_ring":1024,"max_ring":4096,"connect":"all","hash":"xx_hash"}"#);
    }
}
