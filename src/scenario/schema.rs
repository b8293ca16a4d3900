//! A scenario file as it is written. Plain structures without judgement: what the words mean together is decided
//! in `resolve`. The comments here are the reference that people read, in `docs/scenarios.md` and in editors.

use std::collections::BTreeMap;

use super::import::Imported;
use super::words::{Bound, Errors, Name, Setting, Window, ZoneName};
use crate::backend::spec::{Abandoned, Cache, Discipline, LoadReports, WarmUp};
use crate::base::bounds::some_above_zero;
use crate::base::choice::choice;
use crate::base::dist::Law;
use crate::base::metadata::Metadata;
use crate::base::quantity::{Factor, Rate, Ratio};
use crate::base::time::Duration;
use crate::policy::balancer::nest::subsetting;
use crate::policy::{balancer, hash_policy, health, limit, retry};
use crate::workload::spec::{Arrivals, Keys, Plain};

/// A scenario file: one question about one fleet, and the contenders that answer it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Name of the scenario and of its report folder; by default the name of the file without its ending.
    #[serde(default)]
    pub name: Option<Name>,
    /// Calls are made and counted until here, in virtual time.
    #[serde(default = "minute")]
    pub duration: Duration,
    /// Calls are counted from here; by default a tenth of the duration.
    #[serde(default)]
    pub warmup: Option<Duration>,
    /// Replications: every contender runs once for each seed.
    #[serde(default = "five")]
    pub seeds: u32,
    /// How long after `duration` open calls may finish; what is open then counts as an error.
    #[serde(default = "half_a_minute")]
    pub drain: Duration,
    /// The contender that the others are compared with; by default the first.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The calls that the application makes.
    #[serde(default)]
    pub calls: Calls,
    /// Groups of clients; by default one client.
    #[serde(default)]
    pub clients: Vec<Clients>,
    /// Groups of servers; at least one.
    #[serde(default)]
    pub backends: Vec<Backends>,
    /// The network between them.
    #[serde(default)]
    pub network: Network,
    /// How clients learn of backends.
    #[serde(default)]
    pub discovery: Discovery,
    /// Active health checks of every contender that does not say otherwise; by default there are none.
    #[serde(default)]
    pub health: Option<health::Spec>,
    /// Trouble at given times.
    #[serde(default)]
    #[schemars(schema_with = "super::document::faults")]
    pub faults: Vec<Fault>,
    /// Settings that all contenders share; a contender's own setting replaces the shared one.
    #[serde(default)]
    pub client: Contender,
    /// Who competes: one client configuration each, in the order of the report.
    #[serde(default)]
    pub contenders: BTreeMap<Name, Contender>,
    /// Gates: what must hold for the scenario to pass.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// Paths into the file and the values that each takes in turn: `"calls.rate" = ["2k/s", "4k/s"]`. Several
    /// paths make a grid.
    #[serde(default)]
    pub sweep: BTreeMap<String, Vec<serde_json::Value>>,
}

/// `[calls]`: an open workload has a `rate`, a closed one has `users`.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// Open workload: mean rate over all clients. Calls arrive whether or not earlier ones were answered.
    pub rate: Option<Rate>,
    /// How an open workload spaces its calls; by default `"poisson"`.
    pub arrivals: Option<Arrivals>,
    /// Closed workload: this many users, each waiting for its reply before it thinks and calls again.
    pub users: Option<u32>,
    /// Closed workload: from a reply to the user's next call, a duration or a law; by default no time at all.
    pub think: Option<Law>,
    /// When the application stops waiting; by default never.
    pub deadline: Option<Duration>,
    /// Keys that the calls carry, for affinity and caches; by default none.
    pub keys: Option<Keys>,
    /// Work that a call brings; service times are multiplied by it. By default 1.
    pub demand: Option<Factor>,
    /// What calls ask backends to be, for balancers that look at it (`metadata_subsets`): `{ version = "v2" }`. By
    /// default nothing.
    pub metadata: Option<Metadata>,
    /// Classes of calls; by default all are alike.
    pub mix: Vec<Class>,
}

impl Calls {
    /// What calls ask backends to be: those of each class, or all of them.
    pub fn asked(&self) -> impl Iterator<Item = &Metadata> {
        let of_all = self.metadata.as_ref();
        let of_classes = self.mix.iter().filter_map(move |class| class.metadata.as_ref().or(of_all));
        of_classes.chain(of_all.filter(|_| self.mix.is_empty()))
    }
}

/// A class of calls.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name in reports.
    pub name: Name,
    /// Its share of the calls, relative to those of the other classes.
    pub share: Factor,
    /// Work that a call brings; by default that of `[calls]`.
    #[serde(default)]
    pub demand: Option<Factor>,
    /// Deadline of its calls; by default that of `[calls]`.
    #[serde(default)]
    pub deadline: Option<Duration>,
    /// What its calls ask backends to be, instead of all that `[calls]` asks for; `{}` asks for nothing. By default that
    /// of `[calls]`.
    #[serde(default)]
    pub metadata: Option<Metadata>,
}

/// `[[clients]]`: clients that are alike.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// Its name in reports; by default `clients`, or `clients-1`, `clients-2` … where there are several groups.
    #[serde(default)]
    pub name: Option<Name>,
    /// Where they are.
    #[serde(default)]
    pub zone: Option<ZoneName>,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Share of all calls that the group makes; by default every client makes as many.
    #[serde(default)]
    pub share: Option<Ratio>,
}

/// `[[backends]]`: servers that are alike.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backends {
    /// Its name, for faults and reports; by default `backends`, or `backends-1`, `backends-2` … where there are
    /// several groups.
    #[serde(default)]
    pub name: Option<Name>,
    /// Where they are.
    #[serde(default)]
    pub zone: Option<ZoneName>,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Weight of each, for balancers that look at it, 0 to 1,000,000; 0 takes no calls there unless all weigh 0.
    #[serde(default = "one")]
    pub weight: u32,
    /// What each is, in words of its owner, for balancers that look at it (`metadata_subsets`): `{ version = "v2",
    /// stage = "prod" }`. By default nothing.
    #[serde(default)]
    pub metadata: Metadata,
    /// Calls that each serves at once.
    #[serde(default = "one")]
    pub workers: u32,
    /// Which waiting call is next.
    #[serde(default)]
    pub discipline: Discipline,
    /// Calls that may wait at each; more are refused with `resource_exhausted`. By default there is no limit.
    #[serde(default)]
    pub queue: Option<u32>,
    /// How long a call is served, a duration or a law.
    pub service: Law,
    /// Calls that fail by themselves: their share, or a table. By default none.
    #[serde(default)]
    pub errors: Option<Errors>,
    /// Slower for a while after a start; by default not.
    #[serde(default)]
    pub warm_up: Option<WarmUp>,
    /// A cache by key in each; by default none.
    #[serde(default)]
    pub cache: Option<Cache>,
    /// What becomes of work whose client has gone.
    #[serde(default)]
    pub abandoned: Abandoned,
    /// What each says about its load, for balancers that listen (gRPC's backend metrics, ORCA); `{}` is a report on
    /// each reply. By default nothing.
    #[serde(default)]
    pub load_reports: Option<LoadReports>,
    /// Work that the answer to a balancer's probe takes, in shares of a call's: it waits and is served like one. By
    /// default a probe costs nothing.
    #[serde(default)]
    pub probe_demand: Option<Factor>,
}

/// `[network]`: delays are one way.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Delay inside a zone, and wherever `between` says nothing: a duration or a law.
    pub delay: Law,
    /// Delay between two regions, `"beijing shanghai" = "13ms"`, or between two zones,
    /// `"beijing/a beijing/b" = "1ms"`. The order of the two does not matter.
    pub between: BTreeMap<String, Law>,
    /// Share of the messages that are lost and sent again by the transport.
    pub loss: Ratio,
    /// Time after which a lost message is sent again.
    pub retransmit: Duration,
    /// What a new connection takes besides a round trip: TLS, say.
    pub connect: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            delay: Law::constant(Duration::from_micros(500)),
            between: BTreeMap::new(),
            loss: Ratio::ZERO,
            retransmit: Duration::from_millis(200),
            connect: Duration::ZERO,
        }
    }
}

choice! {
    /// How clients learn of backends.
    pub enum Discovery as "discovery" {
        /// They know all that are there from the start, and hear of no change.
        Static = "static" => Plain,
        /// They are told of every change.
        Push = "push" => Push,
        /// Backends hold a lease in a registry that clients watch.
        Lease = "lease" => Lease,
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Discovery::Static(Plain {})
    }
}

/// Changes are pushed to every client.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// From the change to a client: a duration or a law, drawn anew for each client.
    pub delay: Law,
    /// The whole list is sent to every client again this often, though nothing changed, and is news to its balancer; by
    /// default never.
    #[serde(deserialize_with = "some_above_zero")]
    pub refresh: Option<Duration>,
}

impl Default for Push {
    fn default() -> Self {
        Push { delay: Law::constant(Duration::from_millis(100)), refresh: None }
    }
}

/// A registry with leases.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lease {
    /// A lease that is not renewed for this long ends.
    pub ttl: Duration,
    /// A living backend renews its lease this often.
    pub keepalive: Duration,
    /// From a change in the registry to a client: a duration or a law, drawn anew for each client.
    pub watch_delay: Law,
}

impl Default for Lease {
    fn default() -> Self {
        Lease {
            ttl: Duration::from_secs(5),
            keepalive: Duration::from_secs(1),
            watch_delay: Law::constant(Duration::from_millis(20)),
        }
    }
}

/// `[[faults]]`: when, whom, and exactly one fault with its own parameters.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// It begins.
    pub at: Duration,
    /// How long it lasts; by default to the end.
    #[serde(rename = "for", default)]
    pub lasts: Option<Duration>,
    /// It comes again this often; by default never.
    #[serde(default)]
    pub every: Option<Duration>,
    /// Whom it may touch; by default all.
    #[serde(default)]
    pub target: Target,
    /// This share of those, rounded up and drawn at random for each occurrence.
    #[serde(default)]
    pub share: Option<Ratio>,
}

/// Whom a fault may touch. What is left out does not matter.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Backends of the group of this name.
    pub backends: Option<Name>,
    /// Backends of this zone, or of all zones of this region.
    pub zone: Option<ZoneName>,
    /// The first so many of them.
    pub count: Option<u32>,
    /// This share of them, rounded up and drawn at random for each occurrence.
    pub share: Option<Ratio>,
}

/// `[contenders.NAME]`, and `[client]` for what all of them share.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Contender {
    /// Which backend takes a call.
    pub balancer: Option<balancer::catalog::Spec>,
    /// Which backends a client keeps to: the balancer picks inside of the subset. By default all, and `"none"` undoes a
    /// shared setting. `{ random_subsetting = { size = 5 } }` beside `balancer = "random"` is short for
    /// `balancer = { random_subsetting = { size = 5, child = "random" } }`; a `child` of its own is refused.
    pub subset: Option<Setting<subsetting::Spec>>,
    /// What happens after a failed attempt; by default nothing, and `"none"` undoes a shared setting.
    pub retry: Option<Setting<retry::Config>>,
    /// How many calls may be open at once; by default there is no limit, and `"none"` undoes a shared one.
    pub limit: Option<Setting<limit::Spec>>,
    /// Active health checks; by default those of `[health]`, and `"none"` undoes them.
    pub health: Option<Setting<health::Spec>>,
    /// Calls wait for a ready backend instead of failing (gRPC's wait-for-ready); by default they fail.
    pub wait_for_ready: Option<bool>,
    /// No call takes longer, whatever its own deadline (gRPC's `timeout` of a method); by default that of the calls is
    /// all there is.
    pub deadline: Option<Duration>,
    /// What calls are hashed by, for balancers by key: a list of `"key"`, `"client"` and `"class"`, combined as gRPC (gRFC
    /// A42) and Envoy (`hash_policy`) do: each hash is mixed into those before it, and `{ key = { terminal = true } }` ends
    /// the list once there is a hash. By default the key alone.
    pub hash: Option<Vec<hash_policy::Policy>>,
    /// A gRPC service config in JSON that gives the settings: a path from the folder of the scenario file.
    pub service_config: Option<String>,
    /// An Envoy cluster in YAML or JSON that gives the balancer: a path from the folder of the scenario file.
    pub envoy_cluster: Option<String>,
    /// What was read from there, and the balancer where nobody names one.
    #[serde(skip)]
    pub imported: Option<(Imported, &'static str)>,
}

/// `[[expect]]`: a gate, judged over the paired seeds.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Whom it is about; by default every contender.
    #[serde(default)]
    pub contender: Option<String>,
    /// Key of the metric.
    pub metric: String,
    /// Only at these points of the sweep, `{ "clients.0.count" = 1 }`: paths of `[sweep]` and one value of each; by
    /// default at all of them.
    #[serde(default)]
    pub when: BTreeMap<String, Bound>,
    /// Only this stretch of time, `["60s", "90s"]` or `{ from = "60s", to = "90s" }`; by default all that counts.
    #[serde(default)]
    pub window: Option<Window>,
    /// The metric is not above this, in its unit: `"30ms"`, `"1%"`, `"900/s"`, `1.5`.
    #[serde(default)]
    pub at_most: Option<Bound>,
    /// The metric is not below this, in its unit.
    #[serde(default)]
    pub at_least: Option<Bound>,
    /// The metric is not worse than that of this contender.
    #[serde(default)]
    pub no_worse_than: Option<String>,
    /// By how much it may be worse: relative, or absolute for fractions and counts.
    #[serde(default)]
    pub margin: Option<Bound>,
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

fn five() -> u32 {
    5
}

fn one() -> u32 {
    1
}
