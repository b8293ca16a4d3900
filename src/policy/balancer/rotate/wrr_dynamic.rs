//! Weighted turns from a tree of positions: weights and servers may change at any time and the turns go on.
//!
//! Origin: HAProxy `roundrobin`, `src/lb_fwrr.c` (fast weighted round robin).
//! Observes: static weights.
//! Cost: O(log n) a pick and a change of one endpoint, O(n log n) a change of the list. HAProxy takes up to 4,095
//! servers; here there is no limit.
//! Draws: none.
//! Fails when: clients are many and begin together, because each begins with the heaviest endpoint.
//!
//! Time is a position that moves by one a pick. A server of weight `w` of `W` comes again `W / w` positions later, the
//! remainder carried along. Servers wait in one of three trees: those that have no position yet, heaviest first; those
//! with a position in this window, which is as long as all weights together; and those that have to wait for the next
//! one, where everybody begins anew. HAProxy counts weights in sixteenths, so a window is sixteen rounds long.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::slots::Slots;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// `wrr_dynamic` has no parameters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(WrrDynamic::default())
    }
}

/// Where a server waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// For its first position, in the tree of this number.
    Waiting(usize),
    /// For its position to come.
    Placed,
    /// Nowhere: it has just come.
    Nowhere,
}

#[derive(Debug, Clone, Copy)]
struct Server {
    /// In sixteenths.
    weight: i64,
    place: Place,
    /// Its key in the tree that it is in.
    key: (i64, i64),
    /// The order of its insertion there: among equal keys the first in is the first out.
    order: u64,
    /// Its last and its next position.
    last: i64,
    next: i64,
    /// What is left over of its turns.
    rest: i64,
}

type Tree = BTreeSet<((i64, i64), u64, EndpointId)>;

#[derive(Debug, Default)]
struct WrrDynamic {
    servers: Slots<Server>,
    placed: Tree,
    /// Those without a position: for this window, and for the next.
    waiting: [Tree; 2],
    /// Which of the two is for this window.
    this: usize,
    position: i64,
    /// All weights together in this window, and as they are now.
    window: i64,
    total: i64,
    inserted: u64,
    begun: bool,
}

impl WrrDynamic {
    fn insert(&mut self, id: EndpointId, mut server: Server, place: Place, key: (i64, i64)) {
        self.inserted += 1;
        (server.place, server.key, server.order) = (place, key, self.inserted);
        if let Some(tree) = self.tree(place) {
            tree.insert((key, server.order, id));
        }
        self.servers.insert(id, server);
    }

    fn tree(&mut self, place: Place) -> Option<&mut Tree> {
        match place {
            Place::Waiting(number) => Some(&mut self.waiting[number]),
            Place::Placed => Some(&mut self.placed),
            Place::Nowhere => None,
        }
    }

    /// Takes a server out of its tree, with the position that it has from there.
    fn take(&mut self, id: EndpointId) -> Option<Server> {
        let mut server = *self.servers.get(id)?;
        if let Some(tree) = self.tree(server.place) {
            tree.remove(&(server.key, server.order, id));
        }
        match server.place {
            Place::Waiting(number) if number == self.this => (server.next, server.rest) = (0, 0),
            Place::Waiting(_) => server.next += self.window,
            Place::Nowhere => server.next = self.position,
            Place::Placed => {}
        }
        Some(server)
    }

    /// Puts a server where its next position is: beyond this window, and beyond what it will be, it has to wait.
    fn queue(&mut self, id: EndpointId, mut server: Server) {
        if server.next >= 2 * self.window || server.next >= self.window + self.total {
            server.next -= self.window;
            self.insert(id, server, Place::Waiting(1 - self.this), (-server.weight, 0));
        } else {
            let key = (server.next, (HEAVIEST + server.rest - server.weight).div_euclid(SCALE));
            self.insert(id, server, Place::Placed, key);
        }
    }

    fn join(&mut self, id: EndpointId, weight: i64) {
        let server =
            Server { weight, place: Place::Nowhere, key: (0, 0), order: 0, last: 0, next: self.position, rest: 0 };
        self.total += weight;
        if self.begun {
            let next = self.position + (self.total + self.window - self.position) / weight;
            self.queue(id, Server { next, ..server });
        } else {
            self.insert(id, server, Place::Waiting(self.this), (-weight, 0));
        }
    }

    fn leave(&mut self, id: EndpointId) {
        let Some(server) = self.take(id) else { return };
        self.total -= server.weight;
        self.servers.remove(id);
    }

    /// Whoever waits for his first position waits on by his new weight; whoever has one comes no later for it.
    fn reweigh(&mut self, id: EndpointId, weight: i64) {
        let Some(mut server) = self.servers.get(id).copied() else { return };
        self.total += weight - server.weight;
        let Some(taken) = self.take(id) else { return };
        if server.place == Place::Waiting(self.this) {
            server.weight = weight;
            return self.insert(id, server, Place::Waiting(self.this), (-weight, 0));
        }
        let step = self.total / weight;
        server = Server { weight, rest: 0, next: (taken.last + step).min(taken.next), ..taken };
        if server.next < self.position + 2 {
            server.next = self.position + step;
        }
        self.queue(id, server);
    }

    /// Whose turn it is: the first with a position, unless that lies ahead and somebody has none yet.
    fn first(&self) -> Option<EndpointId> {
        let placed = self.placed.first();
        let due = placed.filter(|(key, ..)| key.0 <= self.position);
        due.or_else(|| self.waiting[self.this].first()).or(placed).map(|(.., id)| *id)
    }

    fn turn(&mut self) -> Option<EndpointId> {
        if self.window == 0 {
            (self.position, self.window) = (self.total, self.total);
        }
        let id = self.first().or_else(|| {
            self.this = 1 - self.this;
            (self.position, self.window) = (self.total, self.total);
            self.first()
        })?;
        let mut server = self.take(id)?;
        server.last = if server.next == 0 { self.position } else { server.next };
        server.next = server.last + self.total / server.weight;
        server.rest += self.total % server.weight;
        if server.rest >= server.weight {
            server.rest -= server.weight;
            server.next += 1;
        }
        self.position += 1;
        self.queue(id, server);
        Some(id)
    }
}

impl Balancer for WrrDynamic {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let weighted = Weighted::of(endpoints);
        let mut gone: BTreeSet<EndpointId> = self.servers.iter().map(|(id, _)| id).collect();
        for (id, weight) in weighted.ids.iter().zip(&weighted.weights) {
            let weight = i64::from(*weight) * SCALE;
            gone.remove(id);
            match self.servers.get(*id).map(|server| server.weight) {
                None => self.join(*id, weight),
                Some(before) if before != weight => self.reweigh(*id, weight),
                Some(_) => {}
            }
        }
        gone.into_iter().for_each(|id| self.leave(id));
        if self.servers.is_empty() {
            *self = WrrDynamic::default();
        }
        self.begun = !self.servers.is_empty();
        if self.window == 0 {
            (self.position, self.window) = (self.total, self.total);
        }
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [only] => Pick::To(*only),
            _ => self.turn().map_or_else(|| Pick::nobody(endpoints), Pick::To),
        }
    }
}

/// HAProxy's `BE_WEIGHT_SCALE` and `SRV_EWGHT_MAX`.
const SCALE: i64 = 16;
const HEAVIEST: i64 = 256 * SCALE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};
    use crate::policy::balancer::testing::{World, letters, listing};

    fn picks(weights: &[u32], n: usize) -> String {
        letters(&World::weighted(weights, &Config::default()).picks(n))
    }

    /// From a transcription of HAProxy's rules with lists for trees, made apart from this code.
    #[test]
    fn turns_of_the_original() {
        for (weights, expected) in [
            (&[1, 1, 1][..], "ABC"),
            (&[5, 1, 1], "AAABAAC"),
            (&[2, 1], "AAB"),
            (&[3, 2, 1], "ABACAB"),
            (&[1, 2, 3], "CBCACB"),
            (&[5, 3, 2], "ABACABABAC"),
            (&[7, 3], "AAABAABAAB"),
        ] {
            assert_eq!(picks(weights, 3 * expected.len()), expected.repeat(3), "{weights:?}");
        }
    }

    #[test]
    fn a_window_holds_each_as_often_as_its_weight_says() {
        let weights = [13, 1, 7, 4, 4, 9, 2];
        let mut world = World::weighted(&weights, &Config::default());
        for _ in 0..3 {
            assert_eq!(world.counts(16 * 40), weights.map(|weight| 16 * weight as usize));
        }
    }

    /// The rules of `lb_fwrr.c` with one list for all trees, apart from the machine above and as slow as can be.
    #[derive(Default)]
    struct Plain {
        servers: Vec<Listed>,
        position: i64,
        window: i64,
        total: i64,
        inserted: u64,
    }

    struct Listed {
        place: usize,
        weight: i64,
        last: i64,
        next: i64,
        rest: i64,
        tree: Home,
        order: u64,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Home {
        Init,
        Next,
        Current,
    }

    impl Plain {
        fn list(&mut self, weights: &[u32]) {
            let begins = self.servers.is_empty();
            for (place, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
                let weight = i64::from(*weight) * SCALE;
                match self.servers.iter().position(|server| server.place == place) {
                    None => self.join(place, weight, begins),
                    Some(at) if self.servers[at].weight != weight => self.reweigh(at, weight),
                    Some(_) => {}
                }
            }
            let stays = |server: &Listed| weights[server.place] > 0;
            self.total -= self.servers.iter().filter(|server| !stays(server)).map(|server| server.weight).sum::<i64>();
            self.servers.retain(stays);
            if self.window == 0 {
                (self.position, self.window) = (self.total, self.total);
            }
        }

        fn join(&mut self, place: usize, weight: i64, begins: bool) {
            self.total += weight;
            let next = self.position + (self.total + self.window - self.position) / weight;
            self.servers.push(Listed { place, weight, last: 0, next, rest: 0, tree: Home::Init, order: 0 });
            let at = self.servers.len() - 1;
            if begins { self.put(at, Home::Init) } else { self.queue(at) }
        }

        fn put(&mut self, at: usize, tree: Home) {
            self.inserted += 1;
            (self.servers[at].tree, self.servers[at].order) = (tree, self.inserted);
        }

        fn queue(&mut self, at: usize) {
            let next = self.servers[at].next;
            if next >= 2 * self.window || next >= self.window + self.total {
                self.servers[at].next -= self.window;
                self.put(at, Home::Next);
            } else {
                self.put(at, Home::Current);
            }
        }

        fn reweigh(&mut self, at: usize, weight: i64) {
            let (position, window) = (self.position, self.window);
            let server = &mut self.servers[at];
            self.total += weight - server.weight;
            server.weight = weight;
            if server.tree == Home::Init {
                return self.put(at, Home::Init);
            }
            let step = self.total / weight;
            let before = server.next + if server.tree == Home::Next { window } else { 0 };
            (server.next, server.rest) = (before.min(server.last + step), 0);
            if server.next < position + 2 {
                server.next = position + step;
            }
            self.queue(at);
        }

        fn first(&self) -> Option<usize> {
            let within = |home| (0..self.servers.len()).filter(move |at| self.servers[*at].tree == home);
            let placed = within(Home::Current).min_by_key(|at| {
                let server = &self.servers[*at];
                (server.next, (HEAVIEST + server.rest - server.weight) / SCALE, server.order)
            });
            let fresh = within(Home::Init).min_by_key(|at| (-self.servers[*at].weight, self.servers[*at].order));
            placed.filter(|at| self.servers[*at].next <= self.position).or(fresh).or(placed)
        }

        fn turn(&mut self) -> usize {
            let at = self.first().unwrap_or_else(|| {
                self.servers.iter_mut().for_each(|server| server.tree = Home::Init);
                (self.position, self.window) = (self.total, self.total);
                self.first().unwrap()
            });
            let (total, position) = (self.total, self.position);
            let server = &mut self.servers[at];
            if server.tree == Home::Init {
                (server.next, server.rest) = (0, 0);
            }
            server.last = if server.next == 0 { position } else { server.next };
            (server.next, server.rest) = (server.last + total / server.weight, server.rest + total % server.weight);
            if server.rest >= server.weight {
                (server.next, server.rest) = (server.next + 1, server.rest - server.weight);
            }
            let place = server.place;
            self.position += 1;
            self.queue(at);
            place
        }
    }

    #[test]
    fn through_any_changes_the_turns_are_those_of_plain_lists() {
        let mut rand = Seed::new(1).stream("history");
        let mut changes = 0;
        for _ in 0..40 {
            let n = 2 + rand.below(5) as usize;
            let mut weights: Vec<u32> = (0..n).map(|_| 1 + rand.below(9) as u32).collect();
            let mut world = World::weighted(&weights, &Config::default());
            let mut plain = Plain::default();
            plain.list(&weights);
            for _ in 0..60 {
                for turn in 0..rand.below(200) {
                    assert_eq!(world.send(), plain.turn(), "turn {turn} of {weights:?}");
                }
                let place = rand.below(n as u64) as usize;
                let before = std::mem::replace(&mut weights[place], rand.below(10) as u32);
                if weights.iter().all(|weight| *weight == 0) {
                    weights[place] = before;
                }
                changes += u32::from(weights[place] != before);
                world.list(weights.iter().enumerate().map(|(i, weight)| listing(i as u32, *weight)).collect());
                plain.list(&weights);
            }
        }
        assert!(changes > 1_500, "{changes}");
    }

    /// Also from the transcription: the turns go on through a change, and are not begun anew.
    #[test]
    fn turns_go_on_when_weights_and_servers_change() {
        let list = |world: &mut World, weights: [u32; 3]| {
            world.list(weights.iter().enumerate().map(|(i, weight)| listing(i as u32, *weight)).collect());
        };
        let mut world = World::weighted(&[3, 1, 2], &Config::default());
        let mut all = world.picks(10);
        list(&mut world, [3, 5, 2]);
        all += &world.picks(10);
        list(&mut world, [1, 5, 2]);
        all += &world.picks(10);
        assert_eq!(letters(&all), "ACABACACABACBABCBABBCBBCBBBCAB");
        let mut world = World::weighted(&[3, 1, 2], &Config::default());
        let mut all = world.picks(10);
        list(&mut world, [3, 0, 2]);
        all += &world.picks(10);
        list(&mut world, [3, 2, 2]);
        all += &world.picks(10);
        assert_eq!(letters(&all), "ACABACACABACACAACACAACBACABACB");
    }
}
