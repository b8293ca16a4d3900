//! Long random lives of a client: lists change, connections break, health flaps, replies come late. What happens is
//! drawn from the seed alone, so that twins live through the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Subject;
use crate::base::id::{ClientId, EndpointId, RegionId, ZoneId};
use crate::base::metadata::Metadata;
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::status::{Cause, Failure, Outcome, Status};
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::testing::{World, listing};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, LoadReport, Pick, Request, Want};
use crate::policy::endpoints::{Connectivity, Health, Listing};

/// What a balancer did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deed {
    Picked(Pick),
    Wanted(Want),
}

/// How a balancer is treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Care {
    Plain,
    /// It is woken for nothing, often.
    Nervous,
    /// If it says that it only picks, it is told and asked nothing else.
    Sparing,
}

/// A balancer that nobody tells or asks anything but whom to pick.
struct Spared(Box<dyn Balancer>);

impl Balancer for Spared {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.0.on_endpoints(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.0.pick(now, request, endpoints)
    }

    fn connects_all(&self) -> bool {
        self.0.connects_all()
    }
}

/// Lives through a history; an error says where the contract was broken.
pub fn live(subject: &Subject, seed: u64, steps: u32, care: Care) -> Result<Vec<Deed>, String> {
    let life = || {
        let mut life = Life::new(subject, seed, care);
        for step in 0..steps {
            if care == Care::Nervous {
                life.wake_for_nothing();
            }
            life.step().map_err(|error| format!("seed {seed}, step {step}: {error}"))?;
        }
        Ok(life.deeds)
    };
    catch_unwind(AssertUnwindSafe(life)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("seed {seed}: it panicked: {}", text.unwrap_or_default()))
    })
}

/// A client in the first of three zones of two regions, whose calls ask for nothing, for one thing or two, and for what
/// nobody is.
fn context(seed: u64) -> Context {
    let distances = [0, 1, 20].map(Duration::from_millis);
    let asks: [&[(&str, &str)]; 4] =
        [&[], &[("version", "v1")], &[("stage", "prod"), ("version", "v2")], &[("stage", "lost"), ("version", "v2")]];
    let asks = asks.into_iter().map(Metadata::of).collect();
    Context { client: ClientId(3), clients: 10, distances: distances.into(), asks, ..Context::lone(seed) }
}

struct Life {
    world: World,
    /// Whoever is connected may be picked, though it is not healthy.
    may_panic: bool,
    script: Rand,
    listings: Vec<Listing>,
    next_address: u32,
    /// Endpoints that have been there, for effects on those that are gone.
    known: Vec<EndpointId>,
    open: Vec<(EndpointId, Instant)>,
    connecting: Vec<EndpointId>,
    probing: Vec<EndpointId>,
    /// Calls that wait, by their number.
    waiting: Vec<u64>,
    /// Endpoints that are listened to, some of them no longer there.
    watched: Vec<EndpointId>,
    deeds: Vec<Deed>,
}

fn placed(i: u32, weight: u32) -> Listing {
    let zone = i % 3;
    Listing { zone: ZoneId(zone as u16), region: RegionId(zone as u16 / 2), metadata: labels(i), ..listing(i, weight) }
}

/// What an endpoint is: nothing, a version, or a version and a stage.
fn labels(i: u32) -> Metadata {
    let version = if i.is_multiple_of(2) { "v1" } else { "v2" };
    let stage = if i.is_multiple_of(3) { "dev" } else { "prod" };
    Metadata::of(&[("version", version), ("stage", stage)][..[2, 2, 1, 2, 0][i as usize % 5]])
}

/// The class of a call: one of those that ask for something, or one that is not in the list.
fn class_of(random: u64) -> u16 {
    (random >> 32) as u16 % 5
}

impl Life {
    fn new(subject: &Subject, seed: u64, care: Care) -> Life {
        let mut script = Seed::new(seed).stream("script");
        let first = script.below(9) as u32;
        let listings: Vec<Listing> = (0..first).map(|i| placed(i, 1 + script.below(5) as u32)).collect();
        let mut balancer = subject.build(&context(seed));
        if care == Care::Sparing && balancer.only_picks() {
            balancer = Box::new(Spared(balancer));
        }
        let world = World::of(listings.clone(), balancer);
        let mut life = Life {
            world,
            may_panic: subject.may_panic(),
            script,
            listings,
            next_address: first,
            known: vec![],
            open: vec![],
            connecting: vec![],
            probing: vec![],
            waiting: vec![],
            watched: vec![],
            deeds: vec![],
        };
        life.note_members();
        life
    }

    fn step(&mut self) -> Result<(), String> {
        match self.script.below(100) {
            0..50 => self.call()?,
            50..75 => self.end_one(),
            75..83 => {
                let by = [0, 1_000, 7_000_000, 300_000_000, 3_000_000_000][self.script.below(5) as usize];
                self.world.advance(Duration::from_nanos(by));
            }
            83..90 => self.connection(),
            90..93 => self.health(),
            93..96 => self.relist(),
            96..98 => self.answer_probe(),
            98 => self.hear(),
            _ => self.world.refresh(),
        }
        self.world.advance(Duration::ZERO);
        self.take_wants()
    }

    fn call(&mut self) -> Result<(), String> {
        let hash = (self.script.below(3) > 0).then(|| self.script.below(50) << 58);
        let tried: Vec<EndpointId> = if self.script.below(10) == 0 { self.known.clone() } else { vec![] };
        let random = self.script.next_u64();
        let class = class_of(random);
        let attempt = tried.len().min(1) as u32;
        self.pick(&Request { hash, random, class, attempt, tried: &tried, ..Request::plain() })
    }

    fn pick(&mut self, request: &Request<'_>) -> Result<(), String> {
        let pick = self.world.pick(request);
        self.deeds.push(Deed::Picked(pick));
        if pick == Pick::Queue {
            self.waiting.push(request.random);
        }
        if let Pick::Pend { on, counts } = pick {
            return self.pend(on, counts);
        }
        let Pick::To(id) = pick else { return Ok(()) };
        let table = &self.world.table;
        if !(table.view().ready.contains(&id) || self.may_panic && table.is_connected(id)) {
            let state = self.world.table.get(id).map_or("has left", |_| "is not ready");
            return Err(format!("it picked {id:?}, which {state}"));
        }
        self.world.sent(id);
        self.open.push((id, self.world.now));
        Ok(())
    }

    /// A call that waits for a connection counts as open, or is forgotten here.
    fn pend(&mut self, on: EndpointId, counts: bool) -> Result<(), String> {
        let table = &self.world.table;
        if table.is_ready(on) || !table.may_be_connected(on) {
            return Err(format!(
                "it wants to connect {on:?}, which is connected, gone, not healthy or has just failed"
            ));
        }
        if counts {
            self.world.sent(on);
            self.open.push((on, self.world.now));
        }
        Ok(())
    }

    fn end_one(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let (id, since) = self.open.swap_remove(self.script.below(self.open.len() as u64) as usize);
        let outcome: Outcome = match self.script.below(8) {
            0 => Err(Failure::backend(Status::Unavailable)),
            1 => Err(Failure::of(Cause::Deadline)),
            2 => Err(Failure::of(Cause::Cancelled)),
            _ => Ok(()),
        };
        let report = self.report();
        let load = (self.script.below(2) == 0).then_some(&report);
        self.world.ended(id, self.world.now - since, outcome, load);
    }

    fn report(&mut self) -> LoadReport {
        let level = self.script.below(5) as f64 / 4.0;
        let waiting = self.script.below(4) as u32;
        let time = (self.script.below(4) > 0).then(|| Duration::from_micros(self.script.below(90_000)));
        LoadReport {
            utilization: if waiting == 0 { 0.0 } else { 1.5 * level },
            cpu: level,
            qps: 100.0 * level,
            eps: 3.0 * level,
            in_flight: waiting + self.script.below(9) as u32,
            waiting,
            service: time,
            latency: time,
        }
    }

    fn connection(&mut self) {
        let connecting = self.connecting.len() as u64;
        let (id, states) = if connecting > 0 && self.script.below(2) == 0 {
            let id = self.connecting.swap_remove(self.script.below(connecting) as usize);
            (id, [Connectivity::Ready, Connectivity::Ready, Connectivity::TransientFailure])
        } else {
            let Some(id) = self.any_member() else { return };
            (id, [Connectivity::Ready, Connectivity::Idle, Connectivity::TransientFailure])
        };
        let state = states[self.script.below(3) as usize];
        self.world.table.set_connectivity(self.world.now, id, state);
        self.world.refresh();
    }

    fn health(&mut self) {
        let Some(id) = self.any_member() else { return };
        let health = self.any_health();
        self.world.table.set_health(self.world.now, id, health);
        self.world.refresh();
    }

    fn relist(&mut self) {
        let n = self.listings.len() as u64;
        match self.script.below(6) {
            0 if n > 0 => drop(self.listings.remove(self.script.below(n) as usize)),
            1 if n > 0 => self.listings[self.script.below(n) as usize].weight = self.script.below(4) as u32,
            2 => self.script.shuffle(&mut self.listings),
            3 if n > 0 => self.announce(),
            _ => {
                // Half of those that join have been there before.
                let before = (0..self.next_address).find(|i| self.listings.iter().all(|l| l.address.0 != *i));
                let address = before.filter(|_| self.script.below(2) == 0).unwrap_or(self.next_address);
                self.next_address = self.next_address.max(address + 1);
                self.listings.push(placed(address, self.script.below(4) as u32));
            }
        }
        if self.script.below(2) == 0 {
            self.world.list(self.listings.clone());
        } else {
            self.world.list_cold(self.listings.clone());
        }
        self.note_members();
    }

    /// The list says something else of an endpoint that stays: its zone, its health, or what it is.
    fn announce(&mut self) {
        let at = self.script.below(self.listings.len() as u64) as usize;
        let other = placed(self.script.below(6) as u32, 1);
        let health = self.any_health();
        let listing = &mut self.listings[at];
        match self.script.below(3) {
            0 => (listing.zone, listing.region) = (other.zone, other.region),
            1 => listing.metadata = other.metadata,
            _ => listing.health = health,
        }
    }

    fn any_health(&mut self) -> Health {
        [Health::Healthy, Health::Suspect, Health::Draining, Health::Failed][self.script.below(4) as usize]
    }

    fn answer_probe(&mut self) {
        let n = self.probing.len() as u64;
        if n == 0 {
            return;
        }
        let endpoint = self.probing.swap_remove(self.script.below(n) as usize);
        let report = self.report();
        let took = Duration::from_micros(self.script.below(9_000));
        let ok = self.script.below(4) > 0;
        let load = ok.then_some(&report);
        let feedback = Feedback::Probed { endpoint, took, ok, load };
        self.world.balancer.on_feedback(self.world.now, &feedback, &self.world.table.view());
    }

    fn hear(&mut self) {
        let n = self.watched.len() as u64;
        if n == 0 {
            return;
        }
        let endpoint = self.watched[self.script.below(n) as usize];
        let report = self.report();
        let idle = self.script.below(2) == 0;
        let feedback = if idle { Feedback::Idle { endpoint } } else { Feedback::Reported { endpoint, load: &report } };
        self.world.balancer.on_feedback(self.world.now, &feedback, &self.world.table.view());
    }

    /// Asks again for the calls that wait, as a channel does: here one may be waiting.
    fn pick_again(&mut self) -> Result<(), String> {
        let Some(random) = self.waiting.pop() else { return Ok(()) };
        self.pick(&Request { random, class: class_of(random), ..Request::plain() })
    }

    fn take_wants(&mut self) -> Result<(), String> {
        for _ in 0..1_000 {
            let Some(want) = self.world.balancer.poll_want() else { return Ok(()) };
            self.deeds.push(Deed::Wanted(want));
            match want {
                Want::Connect(id) if self.world.table.get(id).is_some() => {
                    self.world.table.set_connectivity(self.world.now, id, Connectivity::Connecting);
                    self.connecting.push(id);
                }
                Want::Probe(id) => self.probing.push(id),
                Want::Watch(id) => self.watched.push(id),
                Want::PickAgain => self.pick_again()?,
                _ => {}
            }
        }
        Err("it never stops wanting".to_owned())
    }

    /// Everything that a machine must not mind.
    fn wake_for_nothing(&mut self) {
        for _ in 0..2 {
            let before = self.world.balancer.next_timeout();
            self.world.balancer.on_timeout(self.world.now, &self.world.table.view());
            assert_eq!(self.world.balancer.next_timeout(), before, "waking for nothing moved its time");
        }
    }

    fn any_member(&mut self) -> Option<EndpointId> {
        let members = self.world.table.view().members;
        (!members.is_empty()).then(|| members[self.script.below(members.len() as u64) as usize])
    }

    fn note_members(&mut self) {
        self.known.extend(self.world.table.view().members);
        self.known.sort();
        self.known.dedup();
    }
}
