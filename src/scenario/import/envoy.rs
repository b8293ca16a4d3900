//! Envoy's load-balancing policies and their parts, as balancers of the catalogue. The older fields of a cluster and the
//! typed extensions say the same things, so they are read by the same functions
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/load_balancing_policies/>).

use std::ops::Range;

use super::grpc::{nanos, reported};
use super::message::{At, Message, Reading, Shape};
use super::native::{Native, balancer};
use super::source::{Kind, Value, shortened};
use super::subsets;
use crate::scenario::diagnose::nearest;

/// How a host is chosen, before slow start and localities.
pub struct Picker {
    /// The balancer.
    pub native: Native,
    /// Whether hosts are looked up by hash: Envoy has no slow start and no routing by zone for those.
    pub by_hash: bool,
}

// Policies.

/// The first policy of a `load_balancing_policy` that Envoy knows. One that Envoy knows and nothing here does is an
/// error: Envoy would not go on to the next.
pub fn first_of(value: &Value, panic: Option<&At<f64>>, reading: &mut Reading<'_>) -> Option<Native> {
    let message = reading.message(value, &LOAD_BALANCING_POLICY)?;
    reading.needed(&message, "policies", "`policies: [{ typed_extension_config: { … } }]`");
    let policies = reading.list(&message, "policies")?;
    let mut chosen = None;
    for policy in policies {
        let extension = reading
            .message(policy, &POLICY)
            .and_then(|policy| {
                reading.needed(&policy, "typed_extension_config", "`typed_extension_config: { typed_config: { … } }`");
                reading.table(&policy, "typed_extension_config", &EXTENSION)
            })
            .and_then(|extension| {
                reading.text(&extension, "name");
                reading.needed(&extension, "typed_config", "`typed_config: { \"@type\": … }`")
            });
        if let Some(config) = extension.filter(|_| chosen.is_none()) {
            chosen = typed(&config.value, panic, reading);
        }
    }
    if policies.is_empty() {
        reading.error(&message.at, "`policies` names no policy", "add one, such as that of round robin");
    }
    chosen.flatten()
}

/// A `typed_config`; the outer `None` if Envoy has no such policy.
fn typed(config: &Value, panic: Option<&At<f64>>, reading: &mut Reading<'_>) -> Option<Option<Native>> {
    let Kind::Table(members) = &config.kind else {
        reading.error(&config.at, "`typed_config` is a table with an `@type`", format!("write `\"@type\": {TYPES}…`"));
        return None;
    };
    let Some(kind) = members.iter().find(|member| member.key == "@type") else {
        let place = config.at.start..config.at.start + 1;
        reading.error(&place, "`typed_config` needs `@type`", format!("write `\"@type\": {TYPES}…`"));
        return None;
    };
    let Kind::Text(url) = &kind.value.kind else {
        reading.error(&kind.value.at, "`@type` is text", format!("write `{TYPES}…`"));
        return None;
    };
    let name = url.strip_prefix(TYPES).unwrap_or(url.rsplit('/').next().unwrap_or(url));
    let at = kind.value.at.clone();
    // Its type is no field of the message.
    let rest = members.iter().filter(|member| member.key != "@type").cloned().collect();
    let rest = Value { at: config.at.clone(), kind: Kind::Table(rest) };
    if let Some((_, read)) = READERS.iter().find(|(known, _)| *known == name) {
        return Some(read(&at, &rest, panic, reading));
    }
    if let Some((later, help)) = LATER.iter().find(|(later, _)| *later == name) {
        reading.not_yet(&at, later, help);
        return Some(None);
    }
    let help = match nearest(name, READERS.iter().map(|(name, _)| *name)) {
        Some(near) => format!("did you mean `{TYPES}{near}`?"),
        None => "docs/scenarios.md lists the policies that are read".to_owned(),
    };
    reading.error(&at, format!("Envoy has no load-balancing policy `{}`", shortened(url)), help);
    None
}

type Read = fn(&Range<usize>, &Value, Option<&At<f64>>, &mut Reading<'_>) -> Option<Native>;

fn typed_round_robin(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    const SHAPE: Shape = Shape::of("`RoundRobin`", &["slow_start_config", "locality_lb_config"]);
    let message = reading.message(config, &SHAPE)?;
    let picker = round_robin(at, reading);
    composed(picker, &message, panic, reading)
}

fn typed_least_request(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &TYPED_LEAST_REQUEST)?;
    let picker = least_request(at, Some(&message), reading);
    composed(picker, &message, panic, reading)
}

fn typed_random(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &Shape::of("`Random`", &["locality_lb_config"]))?;
    let picker = random(at, reading);
    composed(picker, &message, panic, reading)
}

fn typed_ring_hash(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &TYPED_RING_HASH)?;
    let consistent = reading.table(&message, "consistent_hashing_lb_config", &CONSISTENT_HASHING);
    let picker = ring_hash(at, Some(&message), consistent.as_ref(), reading);
    composed(picker, &message, panic, reading)
}

fn typed_maglev(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &TYPED_MAGLEV)?;
    let consistent = reading.table(&message, "consistent_hashing_lb_config", &CONSISTENT_HASHING);
    let picker = maglev(at, Some(&message), consistent.as_ref(), reading);
    composed(picker, &message, panic, reading)
}

fn typed_wrr_locality(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &Shape::of("`WrrLocality`", &["endpoint_picking_policy"]))?;
    reading.needed(&message, "endpoint_picking_policy", "`endpoint_picking_policy: { policies: [ … ] }`");
    let child = message.field("endpoint_picking_policy").and_then(|policy| first_of(&policy.value, None, reading));
    let weighted = balancer(reading, at, ("envoy.locality_weighted", "WrrLocality"), vec![("child", child?)])?;
    panicking(weighted, panic, None, reading)
}

fn typed_weighted_round_robin(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &TYPED_WEIGHTED_ROUND_ROBIN)?;
    let names = ("envoy.client_side_weighted_round_robin", "ClientSideWeightedRoundRobin");
    let native = reported(at, names, &message, reading);
    let picker = native.map(|native| Picker { native, by_hash: false });
    composed(picker, &message, panic, reading)
}

fn typed_random_subsetting(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &Shape::of("`RandomSubsetting`", &["subset_size", "child_policy"]))?;
    reading.needed(&message, "subset_size", "`subset_size: 20`");
    reading.needed(&message, "child_policy", "`child_policy: { policies: [ … ] }`");
    check_panic(panic, reading);
    let size = reading.whole(&message, "subset_size", 1, u64::from(u32::MAX)).map(whole);
    let child = message.field("child_policy").and_then(|policy| first_of(&policy.value, None, reading));
    balancer(reading, at, ("grpc.random_subsetting", "RandomSubsetting"), vec![("size", size?), ("child", child?)])
}

fn typed_pick_first(
    at: &Range<usize>,
    config: &Value,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let message = reading.message(config, &Shape::of("`PickFirst`", &["shuffle_address_list"]))?;
    check_panic(panic, reading);
    let shuffle = reading.truth(&message, "shuffle_address_list").filter(|shuffle| shuffle.value);
    let given = shuffle.map(|shuffle| ("shuffle", Native::plain(shuffle.at, "uniform")));
    balancer(reading, at, ("grpc.pick_first", "PickFirst"), given.into_iter().collect())
}

// Choosing a host.

/// ROUND_ROBIN.
pub fn round_robin(at: &Range<usize>, reading: &mut Reading<'_>) -> Option<Picker> {
    let native = balancer(reading, at, ("envoy.round_robin", "ROUND_ROBIN"), Vec::new())?;
    Some(Picker { native, by_hash: false })
}

/// RANDOM.
pub fn random(at: &Range<usize>, reading: &mut Reading<'_>) -> Option<Picker> {
    let native = balancer(reading, at, ("envoy.random", "RANDOM"), Vec::new())?;
    Some(Picker { native, by_hash: false })
}

/// LEAST_REQUEST with its parameters.
pub fn least_request(at: &Range<usize>, message: Option<&Message<'_>>, reading: &mut Reading<'_>) -> Option<Picker> {
    let mut given = Vec::new();
    if let Some(message) = message {
        let choices = reading.whole(message, "choice_count", 2, 100).map(whole);
        given.extend(choices.map(|choices| ("choices", choices)));
        let bias = runtime_number(message, "active_request_bias", reading);
        given.extend(bias.map(|bias| ("bias", Native::plain(bias.at, bias.value))));
        let full = reading.truth(message, "enable_full_scan").filter(|full| full.value).map(|full| full.at);
        let method = reading.word(message, "selection_method", &["N_CHOICES", "FULL_SCAN"]);
        let full = full.or(method.filter(|method| method.value == "FULL_SCAN").map(|method| method.at));
        given.extend(full.map(|at| ("equal", Native::plain(at, "full_scan"))));
    }
    let native = balancer(reading, at, ("envoy.least_request", "LEAST_REQUEST"), given)?;
    Some(Picker { native, by_hash: false })
}

/// RING_HASH with its parameters.
pub fn ring_hash(
    at: &Range<usize>,
    message: Option<&Message<'_>>,
    consistent: Option<&Message<'_>>,
    reading: &mut Reading<'_>,
) -> Option<Picker> {
    let (mut given, mut murmur, mut broken) = (Vec::new(), None, false);
    if let Some(message) = message {
        for (field, name) in [("minimum_ring_size", "min_ring"), ("maximum_ring_size", "max_ring")] {
            let size = reading.whole(message, field, 1, MOST_RING);
            // One without the other might make no sense for a reason that is not there.
            broken |= size.is_none() && message.has(field);
            given.extend(size.map(|size| (name, whole(size))));
        }
        let hash = reading.word(message, "hash_function", &["DEFAULT_HASH", "XX_HASH", "MURMUR_HASH_2"]);
        murmur = hash.filter(|hash| hash.value == "MURMUR_HASH_2").map(|hash| hash.at);
    }
    let bound = balance_factor(consistent, reading);
    match (&bound, murmur) {
        (Some(_), Some(murmur)) => {
            reading.not_yet(&murmur, "MURMUR_HASH_2", "beside `hash_balance_factor` there is XX_HASH only");
            return None;
        }
        _ if broken => return None,
        (None, Some(murmur)) => given.push(("hash", Native::plain(murmur, "murmur_hash_2"))),
        _ => {}
    }
    let ring = balancer(reading, at, ("envoy.ring_hash", "RING_HASH"), given)?;
    bounded(ring, bound, reading)
}

/// MAGLEV with its parameters.
pub fn maglev(
    at: &Range<usize>,
    message: Option<&Message<'_>>,
    consistent: Option<&Message<'_>>,
    reading: &mut Reading<'_>,
) -> Option<Picker> {
    let size = message.and_then(|message| reading.whole(message, "table_size", 1, MOST_SLOTS));
    let given = size.map(|size| ("table_size", whole(size)));
    let table = balancer(reading, at, ("envoy.maglev", "MAGLEV"), given.into_iter().collect())?;
    let bound = balance_factor(consistent, reading);
    bounded(table, bound, reading)
}

/// `consistent_hashing_lb_config`: how far above the mean a host may be, in percent; 0 is not at all.
fn balance_factor(consistent: Option<&Message<'_>>, reading: &mut Reading<'_>) -> Option<At<u64>> {
    let message = consistent?;
    if let Some(hostname) = reading.truth(message, "use_hostname_for_hashing").filter(|hostname| hostname.value) {
        reading.not_yet(&hostname.at, "use_hostname_for_hashing", "backends have one name, and it is what is hashed");
    }
    let factor = reading.whole(message, "hash_balance_factor", 0, 100_000).filter(|factor| factor.value > 0)?;
    if factor.value <= 100 {
        let said = format!("`hash_balance_factor` is above 100, and not {}", factor.value);
        reading.error(&factor.at, said, "write 125 for a quarter above the mean, or leave it out");
        return None;
    }
    Some(factor)
}

/// The same layout on which nobody gets much more than the mean.
fn bounded(layout: Native, bound: Option<At<u64>>, reading: &mut Reading<'_>) -> Option<Picker> {
    let native = match bound {
        None => layout,
        Some(factor) => {
            let given = vec![
                ("factor", Native::plain(factor.at.clone(), format!("{}%", factor.value))),
                ("walk", Native::plain(factor.at.clone(), "envoy")),
                ("layout", layout),
            ];
            balancer(reading, &factor.at, ("bounded_load", "hash_balance_factor"), given)?
        }
    };
    Some(Picker { native, by_hash: true })
}

// Slow start and localities.

/// A picker inside of slow start, inside of what `locality_lb_config` says.
fn composed(
    picker: Option<Picker>,
    message: &Message<'_>,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let locality = reading.table(message, "locality_lb_config", &LOCALITY);
    let picker = slow_start(message, picker, reading);
    localities(picker, locality.as_ref(), panic, reading)
}

/// `slow_start_config` of the message around the picker, if there is one.
pub fn slow_start(message: &Message<'_>, picker: Option<Picker>, reading: &mut Reading<'_>) -> Option<Picker> {
    let Some(member) = message.field("slow_start_config") else { return picker };
    let config = reading.message(&member.value, &SLOW_START)?;
    let window = reading.duration(&config, "slow_start_window");
    let aggression = runtime_number(&config, "aggression", reading);
    let least = reading.percent(&config, "min_weight_percent");
    let picker = picker?;
    // Without a window there is no slow start.
    let Some(window) = window.filter(|window| !window.value.is_zero()) else { return Some(picker) };
    let mut given = vec![("child", picker.native), ("window", nanos(&window))];
    given.extend(aggression.map(|factor| ("aggression", Native::plain(factor.at, factor.value))));
    given.extend(least.map(|least| ("min_weight", Native::plain(least.at, least.value / 100.0))));
    let native = balancer(reading, &member.key_at, ("envoy.slow_start", "slow_start_config"), given)?;
    Some(Picker { native, by_hash: picker.by_hash })
}

/// `zone_aware_lb_config` or `locality_weighted_lb_config` around the picker.
pub fn localities(
    picker: Option<Picker>,
    message: Option<&Message<'_>>,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let field = |name: &str| message.and_then(|message| message.field(name));
    let (zones, weights) = (field("zone_aware_lb_config"), field("locality_weighted_lb_config"));
    if let (Some(_), Some(second)) = (zones, weights) {
        reading.error(&second.key_at, "zones are routed by weight or by nearness, and not both", "keep one of the two");
    }
    if let Some(member) = zones.or(weights)
        && picker.as_ref().is_some_and(|picker| picker.by_hash)
    {
        reading.not_yet(&member.key_at, &member.key, "a policy by hash looks at all zones");
        return None;
    }
    if let Some(member) = zones {
        let config = reading.message(&member.value, &ZONE_AWARE)?;
        let fails = reading.truth(&config, "fail_traffic_on_panic").filter(|fails| fails.value);
        let given = zone_aware(&config, panic, reading)?;
        let Some(mut given) = given else { return panicking(picker?.native, panic, fails, reading) };
        given.push(("child", picker?.native));
        let aware = balancer(reading, &member.key_at, ("zone_aware", "zone_aware_lb_config"), given)?;
        return panicking(aware, panic, fails, reading);
    }
    let Some(member) = weights else { return panicking(picker?.native, panic, None, reading) };
    reading.message(&member.value, &Shape::of("`locality_weighted_lb_config`", &[]))?;
    let names = ("envoy.locality_weighted", "locality_weighted_lb_config");
    let weighted = balancer(reading, &member.key_at, names, vec![("child", picker?.native)])?;
    panicking(weighted, panic, None, reading)
}

/// The parameters of routing by zone; the inner `None` if it is switched off.
fn zone_aware(
    config: &Message<'_>,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Option<Vec<(&'static str, Native)>>> {
    let enabled = reading.percent(config, "routing_enabled");
    let size = reading.whole(config, "min_cluster_size", 0, u64::from(u32::MAX));
    match enabled {
        Some(off) if off.value == 0.0 => return Some(None),
        Some(share) if share.value != 100.0 => {
            reading.not_yet(&share.at, "routing_enabled", "calls are routed by zone all or not at all: 100 or 0");
        }
        _ => {}
    }
    let mut given = Vec::new();
    given.extend(size.map(|size| ("min_cluster_size", whole(size))));
    // Whoever panics around it decides that, by degraded hosts as well as healthy ones.
    given.extend(panic.map(|panic| ("panic_threshold", Native::plain(panic.at.clone(), 0))));
    Some(Some(given))
}

/// What a cluster that says nothing of panic does: 50 % (`healthy_panic_threshold` in `cluster.proto`). It has no place.
pub fn usual_panic(cluster: &Message<'_>) -> At<f64> {
    At { value: 50.0, at: cluster.at.start..cluster.at.start }
}

/// A threshold of panic around a balancer: all hosts are one level, and below it health does not count. `None` inside
/// of what panics itself.
fn panicking(
    native: Native,
    panic: Option<&At<f64>>,
    fails: Option<At<bool>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let Some(panic) = panic.filter(|panic| panic.value > 0.0) else { return Some(native) };
    let by = Native::plain(panic.at.clone(), "all");
    let mut given = vec![("child", native), ("by", by), ("panic_threshold", threshold(panic))];
    given.extend(fails.map(|fails| ("fail_traffic_on_panic", Native::plain(fails.at, true))));
    balancer(reading, &panic.at, ("envoy_priority", "healthy_panic_threshold"), given)
}

/// Policies that take a few hosts of all, whose panic is another question; gRPC, which has them, never panics.
fn check_panic(panic: Option<&At<f64>>, reading: &mut Reading<'_>) {
    if let Some(panic) = panic.filter(|panic| panic.value > 0.0 && !panic.at.is_empty()) {
        let help = "write `{ value: 0 }`: of a subset only hosts that are ready are picked";
        reading.not_yet(&panic.at, "healthy_panic_threshold", help);
    }
}

/// Envoy rounds the threshold to whole percent.
fn threshold(panic: &At<f64>) -> Native {
    Native::plain(panic.at.clone(), (panic.value + 0.5).floor() as u64)
}

/// A number that Envoy could change at run time: what it is without that.
fn runtime_number(message: &Message<'_>, name: &str, reading: &mut Reading<'_>) -> Option<At<f64>> {
    const SHAPE: Shape = Shape::of("a number that can change at run time", &["default_value", "runtime_key"]);
    let inside = reading.table(message, name, &SHAPE)?;
    reading.needed(&inside, "default_value", "`default_value: 1.0`");
    reading.text(&inside, "runtime_key");
    reading.number(&inside, "default_value")
}

fn whole(number: At<u64>) -> Native {
    Native::plain(number.at, number.value)
}

/// What the types of Envoy's policies begin with.
const TYPES: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.";

const READERS: &[(&str, Read)] = &[
    ("round_robin.v3.RoundRobin", typed_round_robin),
    ("least_request.v3.LeastRequest", typed_least_request),
    ("random.v3.Random", typed_random),
    ("ring_hash.v3.RingHash", typed_ring_hash),
    ("maglev.v3.Maglev", typed_maglev),
    ("wrr_locality.v3.WrrLocality", typed_wrr_locality),
    ("client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin", typed_weighted_round_robin),
    ("random_subsetting.v3.RandomSubsetting", typed_random_subsetting),
    ("pick_first.v3.PickFirst", typed_pick_first),
    ("subset.v3.Subset", subsets::typed),
];

/// Policies that Envoy has besides, and what to do about them.
const LATER: &[(&str, &str)] = &[
    ("cluster_provided.v3.ClusterProvided", "name the policy that the cluster provides"),
    ("override_host.v3.OverrideHost", "`balancer = \"session_affinity\"` in the scenario comes closest"),
    ("dynamic_forward_proxy.v3.DynamicForwardProxy", "the scenario says which backends there are"),
    ("peak_ewma.v3.PeakEwma", "`balancer = \"peak_ewma\"` in the scenario comes closest"),
    ("load_aware_locality.v3.LoadAwareLocality", "`zone_aware_lb_config` comes closest"),
    ("common.v3.LocalityLbConfig", "it is a part of other policies"),
];

/// Envoy's limit for rings.
const MOST_RING: u64 = 8_388_608;
/// Envoy's limit for Maglev's table.
const MOST_SLOTS: u64 = 5_000_011;

const LOAD_BALANCING_POLICY: Shape = Shape::of("a `load_balancing_policy`", &["policies"]);
const POLICY: Shape = Shape::of("a member of `policies`", &["typed_extension_config"]);
const EXTENSION: Shape = Shape::of("a `typed_extension_config`", &["name", "typed_config"]);
const TYPED_LEAST_REQUEST: Shape = Shape::of(
    "`LeastRequest`",
    &[
        "choice_count",
        "active_request_bias",
        "slow_start_config",
        "locality_lb_config",
        "enable_full_scan",
        "selection_method",
    ],
);
const TYPED_RING_HASH: Shape = Shape {
    what: "`RingHash`",
    known: &["hash_function", "minimum_ring_size", "maximum_ring_size", "consistent_hashing_lb_config"],
    later: &[
        ("use_hostname_for_hashing", "backends have one name, and it is what is hashed"),
        ("hash_balance_factor", "write it into `consistent_hashing_lb_config`, which replaced it"),
        ("locality_weighted_lb_config", "a policy by hash looks at all zones"),
    ],
    world: &[],
};
const TYPED_MAGLEV: Shape = Shape {
    what: "`Maglev`",
    known: &["table_size", "consistent_hashing_lb_config"],
    later: &[("locality_weighted_lb_config", "a policy by hash looks at all zones")],
    world: &[],
};
const TYPED_WEIGHTED_ROUND_ROBIN: Shape = Shape {
    what: "`ClientSideWeightedRoundRobin`",
    known: &[
        "enable_oob_load_report",
        "oob_reporting_period",
        "blackout_period",
        "weight_expiration_period",
        "weight_update_period",
        "error_utilization_penalty",
        "slow_start_config",
        "locality_lb_config",
    ],
    later: &[("metric_names_for_computing_utilization", "reports carry one measure of utilization")],
    world: &[],
};
/// `consistent_hashing_lb_config`, of a cluster and of typed policies.
pub const CONSISTENT_HASHING: Shape = Shape {
    what: "`consistent_hashing_lb_config`",
    known: &["use_hostname_for_hashing", "hash_balance_factor"],
    later: &[("hash_policy", "a call has one key, which is what it is hashed by")],
    world: &[],
};
const LOCALITY: Shape = Shape::of("`locality_lb_config`", &["zone_aware_lb_config", "locality_weighted_lb_config"]);
const ZONE_AWARE: Shape = Shape {
    what: "`zone_aware_lb_config`",
    known: &["routing_enabled", "min_cluster_size", "fail_traffic_on_panic"],
    later: &[
        ("force_local_zone", "calls are shared out by what each zone can bear"),
        ("locality_basis", "zones are compared by how many hosts are healthy"),
    ],
    world: &[],
};
const SLOW_START: Shape = Shape::of("`slow_start_config`", &["slow_start_window", "aggression", "min_weight_percent"]);
