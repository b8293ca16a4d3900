//! An Envoy cluster in YAML or JSON as the balancer of a contender
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/cluster.proto>). The file holds the cluster, or a
//! list, `clusters` or `static_resources` with that one cluster.
//!
//! `lb_policy` with `round_robin_lb_config`, `least_request_lb_config`, `ring_hash_lb_config` or `maglev_lb_config`, and of
//! `common_lb_config` what is said of zones (`zone_aware_lb_config`, `locality_weighted_lb_config`,
//! `healthy_panic_threshold`) and of bounded loads (`consistent_hashing_lb_config`). Or `load_balancing_policy` with the
//! types `RoundRobin`, `LeastRequest`, `Random`, `RingHash`, `Maglev`, `WrrLocality`, `ClientSideWeightedRoundRobin`,
//! `RandomSubsetting`, `PickFirst` and `Subset`. `slow_start_config` is the balancer `slow_start` around the policy, and
//! zones are balancers around both. Around these is panic, below half of the hosts where no other threshold is given: while
//! more are healthy it changes nothing. `lb_subset_config` and `Subset` are `metadata_subsets` around all of it: what backends
//! are and what calls ask for stands in the scenario, as `metadata`. A hash policy looks at the key of a call; what a number
//! may become at run time is not looked at.
//!
//! Fields about the world around a client (`type`, `load_assignment`, `connect_timeout` …) count for nothing, with a warning:
//! the scenario says which backends there are.
//!
//! Not yet: `outlier_detection`, `circuit_breakers`, `health_checks`.

use std::ops::Range;

use super::Settings;
use super::envoy::{self, CONSISTENT_HASHING, Picker};
use super::message::{At, Message, Reading, Shape, snake};
use super::native::Native;
use super::source::{Kind, Value};
use super::subsets;

/// The settings of a cluster; `None` if it is no table.
pub fn read(value: &Value, reading: &mut Reading<'_>) -> Option<Settings> {
    let cluster = only_cluster(value, reading)?;
    let cluster = reading.message(cluster, &CLUSTER)?;
    let common = reading.table(&cluster, "common_lb_config", &COMMON);
    let panic = match common.as_ref().filter(|common| common.has("healthy_panic_threshold")) {
        Some(common) => reading.percent(common, "healthy_panic_threshold"),
        None => Some(envoy::usual_panic(&cluster)),
    };
    let native = match cluster.field("load_balancing_policy") {
        Some(policy) => {
            replaced(&cluster, common.as_ref(), reading);
            envoy::first_of(&policy.value, panic.as_ref(), reading)
        }
        None => by_enum(&cluster, common.as_ref(), panic.as_ref(), reading),
    };
    if let Some(assignment) = cluster.field("load_assignment") {
        let message = "the endpoints of `load_assignment` count for nothing here: the scenario says them";
        let help = "`[[backends]]` says which there are; leave it out to lose this warning";
        reading.warning(&assignment.key_at, message, help);
        let by_metadata = native.as_ref().is_some_and(|native| native.place_of("metadata_subsets").is_some());
        weighed(&assignment.value, by_metadata, reading);
    }
    let balancer = native.and_then(|native| native.read("lb_policy", reading));
    Some(Settings { balancer, ..Settings::default() })
}

/// What a `load_assignment` says about how much endpoints get must be said in the scenario; where there are subsets, also
/// what endpoints are.
fn weighed(value: &Value, by_metadata: bool, reading: &mut Reading<'_>) {
    match &value.kind {
        Kind::List(list) => list.iter().for_each(|value| weighed(value, by_metadata, reading)),
        Kind::Table(members) => {
            for member in members {
                let key = snake(&member.key);
                match WEIGHED.iter().find(|(name, _)| *name == key) {
                    Some((_, help)) => reading.not_yet(&member.key_at, &member.key, help),
                    None if key == "metadata" && by_metadata => {
                        reading.not_yet(&member.key_at, &member.key, "`metadata` in `[[backends]]` says it");
                    }
                    None if key == "metadata" => {}
                    None => weighed(&member.value, by_metadata, reading),
                }
            }
        }
        _ => {}
    }
}

/// The cluster of a snippet: itself, or the only one of a list, of `clusters` or of `static_resources`.
fn only_cluster<'v>(value: &'v Value, reading: &mut Reading<'_>) -> Option<&'v Value> {
    match &value.kind {
        Kind::List(list) => match list.as_slice() {
            [only] => only_cluster(only, reading),
            _ => {
                let message = format!("one cluster is needed here, and not {}", list.len());
                reading.error(&value.at, message, "keep the cluster that the contender is made of");
                None
            }
        },
        Kind::Table(members) => match members.as_slice() {
            [only] if ["clusters", "static_resources"].contains(&only.key.as_str()) => {
                only_cluster(&only.value, reading)
            }
            _ => Some(value),
        },
        _ => Some(value),
    }
}

/// `load_balancing_policy` takes the place of the older fields, which Envoy then does not look at.
fn replaced(cluster: &Message<'_>, common: Option<&Message<'_>>, reading: &mut Reading<'_>) {
    let policy = reading.word(cluster, "lb_policy", &names());
    if let Some(policy) = policy.filter(|policy| policy.value != "LOAD_BALANCING_POLICY_CONFIG") {
        let message = "`lb_policy` counts for nothing beside `load_balancing_policy`";
        reading.warning(&policy.at, message, "leave it out to lose this warning: Envoy does not look at it");
    }
    let parts = ["zone_aware_lb_config", "locality_weighted_lb_config", "consistent_hashing_lb_config"];
    let of_common = common.into_iter().flat_map(|common| common.fields()).filter(|(name, _)| parts.contains(name));
    let is_older = |name: &str| name == SUBSETS || POLICIES.iter().any(|policy| policy.config == Some(name));
    let older = cluster.fields().filter(|(name, _)| is_older(name));
    for (name, member) in older.chain(of_common) {
        let message = format!("`{name}` counts for nothing beside `load_balancing_policy`");
        reading.error(&member.key_at, message, "write it into the `typed_config` of the policy");
    }
}

/// `lb_policy` with the older fields around it.
fn by_enum(
    cluster: &Message<'_>,
    common: Option<&Message<'_>>,
    panic: Option<&At<f64>>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let (name, at) = match cluster.field("lb_policy") {
        Some(_) => reading.word(cluster, "lb_policy", &names()).map(|name| (name.value, name.at))?,
        // Protobuf's default for an enum is its first value.
        None => ("ROUND_ROBIN", cluster.at.start..cluster.at.start + 1),
    };
    let Some(policy) = POLICIES.iter().find(|policy| policy.name == name) else {
        let help = match name {
            "LOAD_BALANCING_POLICY_CONFIG" => "add the `load_balancing_policy` that it speaks of",
            _ => "name the policy that the cluster provides",
        };
        reading.not_yet(&at, name, help);
        return None;
    };
    let mut config = None;
    for other in POLICIES {
        let Some(field) = other.config else { continue };
        let Some(member) = cluster.field(field) else { continue };
        let message = reading.message(&member.value, &other.shape);
        if other.name == policy.name {
            config = message;
        } else {
            let message = format!("`{field}` belongs to `lb_policy: {}`, and not to {name}", other.name);
            reading.error(&member.key_at, message, format!("leave it out, or write `lb_policy: {}`", other.name));
        }
    }
    let consistent =
        common.and_then(|common| reading.table(common, "consistent_hashing_lb_config", &CONSISTENT_HASHING));
    let picker = (policy.read)(&at, config.as_ref(), consistent.as_ref(), reading);
    if let (Some(consistent), Some(false)) = (&consistent, picker.as_ref().map(|picker| picker.by_hash)) {
        let message = format!("`consistent_hashing_lb_config` belongs to RING_HASH and MAGLEV, and not to {name}");
        let place = consistent.at.start..consistent.at.start + 1;
        reading.error(&place, message, "leave it out, or choose another `lb_policy`");
    }
    let picker = match &config {
        Some(config) => envoy::slow_start(config, picker, reading),
        None => picker,
    };
    let native = envoy::localities(picker, common, panic, reading);
    match cluster.field(SUBSETS) {
        Some(config) => subsets::legacy(&config.key_at, &config.value, native, reading),
        None => native,
    }
}

/// Reads the parameters of a policy: the place of its name, its field, and `consistent_hashing_lb_config`.
type Read = fn(&Range<usize>, Option<&Message<'_>>, Option<&Message<'_>>, &mut Reading<'_>) -> Option<Picker>;

/// A value of `lb_policy`.
struct Policy {
    name: &'static str,
    /// The field that holds its parameters.
    config: Option<&'static str>,
    shape: Shape,
    read: Read,
}

const POLICIES: &[Policy] = &[
    Policy {
        name: "ROUND_ROBIN",
        config: Some("round_robin_lb_config"),
        shape: Shape::of("`round_robin_lb_config`", &["slow_start_config"]),
        read: |at, _, _, reading| envoy::round_robin(at, reading),
    },
    Policy {
        name: "LEAST_REQUEST",
        config: Some("least_request_lb_config"),
        shape: Shape::of("`least_request_lb_config`", &["choice_count", "active_request_bias", "slow_start_config"]),
        read: |at, config, _, reading| envoy::least_request(at, config, reading),
    },
    Policy {
        name: "RING_HASH",
        config: Some("ring_hash_lb_config"),
        shape: Shape::of("`ring_hash_lb_config`", &["minimum_ring_size", "maximum_ring_size", "hash_function"]),
        read: envoy::ring_hash,
    },
    Policy {
        name: "RANDOM",
        config: None,
        shape: Shape::of("", &[]),
        read: |at, _, _, reading| envoy::random(at, reading),
    },
    Policy {
        name: "MAGLEV",
        config: Some("maglev_lb_config"),
        shape: Shape::of("`maglev_lb_config`", &["table_size"]),
        read: envoy::maglev,
    },
];

/// The values of `lb_policy`.
fn names() -> Vec<&'static str> {
    POLICIES.iter().map(|policy| policy.name).chain(["CLUSTER_PROVIDED", "LOAD_BALANCING_POLICY_CONFIG"]).collect()
}

/// Fields of a `load_assignment` that move calls from one endpoint to another, and where a scenario says it.
const WEIGHED: &[(&str, &str)] = &[
    ("load_balancing_weight", "`weight` in `[[backends]]` says it"),
    ("priority", "`balancer = \"envoy_priority\"` in the scenario takes zones in order of distance"),
    ("health_status", "`announce_health` in `[[faults]]` says it"),
    ("policy", "`balancer = \"envoy_priority\"` in the scenario has `overprovisioning`"),
];

/// Subsets around the policy.
const SUBSETS: &str = "lb_subset_config";

const CLUSTER: Shape = Shape {
    what: "a cluster",
    known: &[
        // What it is called changes nothing.
        "name",
        "alt_stat_name",
        "lb_policy",
        "load_balancing_policy",
        "load_assignment",
        "round_robin_lb_config",
        "least_request_lb_config",
        "ring_hash_lb_config",
        "maglev_lb_config",
        "common_lb_config",
        SUBSETS,
    ],
    later: &[
        ("outlier_detection", "`health = { three_state = {} }` in the contender finds servers that fail"),
        ("circuit_breakers", "`limit = { in_flight = { max = 1024 } }` in the contender bounds open calls"),
        ("health_checks", "`health = { three_state = {} }` in the contender asks servers how they are"),
        ("original_dst_lb_config", "the scenario says which backends there are"),
        ("ignore_health_on_host_removal", "backends leave as `[discovery]` of the scenario says"),
        ("close_connections_on_host_health_failure", "connections live on while a server is unhealthy"),
        ("max_requests_per_connection", "connections carry any number of calls"),
        ("preconnect_policy", "every client has one connection to each server"),
        ("connection_pool_per_downstream_connection", "every client has one connection to each server"),
        ("track_cluster_stats", "reports say what clients saw"),
        ("retry_policy", "`retry` in the contender says what happens after a failure"),
    ],
    world: &[
        ("type", "`[discovery]` says how clients learn of backends"),
        ("cluster_type", "`[discovery]` says how clients learn of backends"),
        ("eds_cluster_config", "`[discovery]` says how clients learn of backends"),
        ("connect_timeout", "`[network]` says how long a connection takes"),
        ("dns_lookup_family", "`[discovery]` says how clients learn of backends"),
        ("dns_refresh_rate", "`[discovery]` says how clients learn of backends"),
        ("respect_dns_ttl", "`[discovery]` says how clients learn of backends"),
        ("http2_protocol_options", "`[network]` says what the transport does"),
        ("typed_extension_protocol_options", "`[network]` says what the transport does"),
        ("transport_socket", "`connect` of `[network]` says what TLS takes"),
        ("upstream_connection_options", "`[network]` says what the transport does"),
        ("per_connection_buffer_limit_bytes", "`[network]` says what the transport does"),
    ],
};
const COMMON: Shape = Shape {
    what: "`common_lb_config`",
    known: &[
        "healthy_panic_threshold",
        "zone_aware_lb_config",
        "locality_weighted_lb_config",
        "consistent_hashing_lb_config",
    ],
    later: &[
        ("update_merge_window", "clients hear of every change by itself"),
        ("ignore_new_hosts_until_first_hc", "a new server counts as healthy"),
        ("close_connections_on_host_set_change", "connections to servers that stay are kept"),
        ("override_host_status", "no session is part of a cluster; `session_affinity` in the scenario has it"),
    ],
    world: &[],
};
