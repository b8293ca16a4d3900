//! The resolved form of a scenario: names are numbers, defaults are explicit, everything was checked. Worlds
//! read it and never doubt it.

use std::sync::Arc;

use serde::Serialize;

use crate::backend::spec::Profile;
use crate::base::dist::Law;
use crate::base::id::{BackendId, ClientId, RegionId, ZoneId};
use crate::base::metadata::Metadata;
use crate::base::quantity::Ratio;
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};
use crate::fault;
use crate::fault::effect::Side;
use crate::fault::{Fleet, Planned, Schedule, Timeline};
pub use crate::judge::rule::Limit;
use crate::judge::rule::Rule;
use crate::policy::balancer::Balancer;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::own::{Own, Strategy};
use crate::policy::channel::ChannelSpec;
use crate::scenario::import::Imported;
use crate::workload::spec::Calls;

/// Everything that the runs of one scenario need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// `name` of the file.
    pub name: String,
    /// The question in the first comment line; empty if there is none.
    pub question: String,
    /// Where in a sweep this plan stands, `(path, value)` for each path; empty without a sweep.
    pub point: Vec<(String, String)>,
    /// Calls are born and counted until here.
    pub duration: Duration,
    /// Calls are counted from here.
    pub warmup: Duration,
    /// How long after `duration` open calls may finish.
    pub drain: Duration,
    /// One run a contender for each.
    pub seeds: Vec<u64>,
    /// The calls.
    pub calls: Calls,
    /// All zones, by [`ZoneId`].
    pub zones: Vec<Zone>,
    /// All regions, by [`RegionId`].
    pub regions: Vec<String>,
    /// Groups of clients.
    pub clients: Vec<ClientGroup>,
    /// Groups of backends.
    pub backends: Vec<BackendGroup>,
    /// The network between them.
    pub network: Network,
    /// How clients learn of backends.
    pub discovery: Discovery,
    /// Faults, in the order of the file.
    pub faults: Vec<FaultPlan>,
    /// Who competes.
    pub contenders: Vec<ContenderPlan>,
    /// Index of the contender that the others are compared with.
    pub baseline: usize,
    /// Gates.
    pub expects: Vec<Expect>,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// `region/zone`.
    pub name: String,
    /// Its region.
    pub region: RegionId,
}

/// Clients that are alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientGroup {
    /// Its name.
    pub name: String,
    /// Where they are.
    pub zone: ZoneId,
    /// How many, 1 or more.
    pub count: u32,
    /// Share of all calls that the group makes; the shares of all groups add up to 1.
    pub share: f64,
}

/// Backends that are alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackendGroup {
    /// Its name.
    pub name: String,
    /// Where they are.
    pub zone: ZoneId,
    /// How many are there from the start.
    pub count: u32,
    /// How many there may ever be; those above `count` wait for a fault to start them.
    pub capacity: u32,
    /// Static weight of each.
    pub weight: u32,
    /// What each is, in words of its owner; all of the group share it.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// How each behaves.
    pub profile: Arc<Profile>,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// One-way delay by zone pair: `delays[from * zones + to]`, symmetric.
    pub delays: Vec<Law>,
    /// Probability that a message is lost and sent again by the transport.
    pub loss: Ratio,
    /// Time after which a lost message is sent again (TCP's smallest retransmission time-out by default).
    pub retransmit: Duration,
    /// What a new connection takes besides a round trip (TLS, say).
    pub connect: Duration,
}

/// How clients learn of backends.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// All that are there from the start, for ever.
    Static,
    /// Every change, after a delay of its own for each client.
    Push {
        /// From the change to the client.
        delay: Law,
        /// How often the whole list is sent again, if at all.
        refresh: Option<Duration>,
    },
    /// Backends hold a lease in a registry that clients watch.
    Lease {
        /// A lease that is not renewed for this long ends.
        ttl: Duration,
        /// A living backend renews this often.
        keepalive: Duration,
        /// From a change in the registry to a client.
        watch_delay: Law,
    },
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultPlan {
    /// It begins.
    pub at: Duration,
    /// How long it lasts; to the end if it does not say.
    #[serde(rename = "for")]
    pub lasts: Option<Duration>,
    /// It comes again this often.
    pub every: Option<Duration>,
    /// Whom it may touch, before `count` and `share` are drawn.
    pub target: Target,
    /// What it is.
    pub fault: fault::catalog::Spec,
}

/// Whom a fault touches: of the candidates, as many as `pick` says, drawn at random anew for each occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The backends that it may touch, in id order.
    pub candidates: Vec<BackendId>,
    /// How many of them.
    pub pick: TargetPick,
}

/// How many of the candidates a fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetPick {
    /// All.
    All,
    /// This many, the first of the list (so that a reader knows whom).
    Count(u32),
    /// This many, drawn at random for each occurrence: a share of the candidates, rounded up.
    Random(u32),
}

/// One contender.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContenderPlan {
    /// Its name.
    pub name: String,
    /// Its client configuration.
    pub channel: ChannelSpec,
    /// The configuration of another product that it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// One gate, resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expect {
    /// The contender it is about; `None`: each of them.
    pub contender: Option<usize>,
    /// Key of the metric.
    pub metric: String,
    /// Only this stretch of time.
    pub window: Option<(Duration, Duration)>,
    /// What must hold, in the unit of the metric.
    pub limit: Limit,
    /// Line of the gate in the file, from 1.
    pub line: u32,
}

impl Expect {
    /// The gate as judges take it; `scenario` is the name of the plan.
    pub fn rule(&self, scenario: &str) -> Rule {
        Rule {
            contender: self.contender,
            metric: self.metric.clone(),
            window: self.window.map(|(from, until)| (from.as_nanos(), until.as_nanos())),
            limit: self.limit.clone(),
            place: format!("{scenario}:{}", self.line),
        }
    }
}

impl Plan {
    /// Lets a balancer compete that is not in the catalogue: `build` makes one for each client. The rest of its
    /// configuration is that of the baseline, so that they differ in nothing else.
    ///
    /// # Panics
    /// When there is a contender of this name already.
    pub fn compete(&mut self, name: &str, build: impl Fn(&Context) -> Box<dyn Balancer> + Send + Sync + 'static) {
        assert!(self.contenders.iter().all(|other| other.name != name), "there is a contender `{name}` already");
        let balancer = Strategy::Own(Own::new(name, build));
        let channel = ChannelSpec { balancer, ..self.contenders[self.baseline].channel.clone() };
        self.contenders.push(ContenderPlan { name: name.to_owned(), channel, imported: None });
    }

    /// Number of clients.
    pub fn client_count(&self) -> u32 {
        self.clients.iter().map(|group| group.count).sum()
    }

    /// Number of backends that there may ever be.
    pub fn backend_count(&self) -> u32 {
        self.backends.iter().map(|group| group.capacity).sum()
    }

    /// `(group, number within it)` of every backend, in id order.
    pub fn each_backend(&self) -> impl Iterator<Item = (BackendId, &BackendGroup, u32)> {
        let members = self.backends.iter().flat_map(|group| (0..group.capacity).map(move |number| (group, number)));
        members.enumerate().map(|(id, (group, number))| (BackendId(id as u32), group, number))
    }

    /// The group of every client, in id order.
    pub fn each_client(&self) -> impl Iterator<Item = (ClientId, &ClientGroup)> {
        let members = self.clients.iter().flat_map(|group| (0..group.count).map(move |_| group));
        members.enumerate().map(|(id, group)| (ClientId(id as u32), group))
    }

    /// The region of a zone.
    pub fn region_of(&self, zone: ZoneId) -> RegionId {
        self.zones[zone.index()].region
    }

    /// The law of the one-way delay between two zones.
    pub fn delay(&self, from: ZoneId, to: ZoneId) -> &Law {
        &self.network.delays[from.index() * self.zones.len() + to.index()]
    }

    /// The end of everything: nothing happens later.
    pub fn horizon(&self) -> Instant {
        Instant::ZERO + self.duration + self.drain
    }
}

impl Plan {
    /// All backends as faults see them.
    pub fn targets(&self) -> Vec<fault::TargetBackend> {
        let groups = self.backends.iter().enumerate();
        let members = groups.flat_map(|(at, group)| (0..group.capacity).map(move |number| (at as u32, group, number)));
        let target = |(id, (at, group, number)): (usize, (u32, &BackendGroup, u32))| fault::TargetBackend {
            id: BackendId(id as u32),
            group: at,
            zone: group.zone,
            region: self.region_of(group.zone),
            initial: number < group.count,
        };
        members.enumerate().map(target).collect()
    }

    /// The zone or region that a file means by a name: `region/zone`, or the part before the slash.
    pub fn side(&self, name: &str) -> Option<Side> {
        let region = self.regions.iter().position(|region| region == name).map(|at| Side::Region(RegionId(at as u16)));
        region.or_else(|| self.zones.iter().position(|zone| zone.name == name).map(|at| Side::Zone(ZoneId(at as u16))))
    }

    /// The faults, unfolded for one seed: the same for every contender.
    pub fn timeline(&self, seed: u64) -> Timeline {
        let planned: Vec<Planned<'_>> = self.faults.iter().map(FaultPlan::planned).collect();
        let all = self.targets();
        let regions: Vec<RegionId> = self.zones.iter().map(|zone| zone.region).collect();
        let fleet = Fleet { all: &all, zone: &|name| self.side(name), regions: &regions, horizon: self.horizon() };
        fault::unfold(&planned, &fleet, &Seed::new(seed))
    }
}

impl FaultPlan {
    fn planned(&self) -> Planned<'_> {
        let pick = match self.target.pick {
            TargetPick::All => fault::Pick::All,
            TargetPick::Count(count) => fault::Pick::Count(count),
            TargetPick::Random(count) => fault::Pick::Random(count),
        };
        Planned {
            fault: self.fault.fault(),
            schedule: Schedule { at: self.at, lasts: self.lasts, every: self.every },
            candidates: &self.target.candidates,
            pick,
        }
    }
}
