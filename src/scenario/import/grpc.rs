//! The policies of gRPC's `loadBalancingConfig`, and their parameters, as balancers of the catalogue. Defaults are those
//! of the presets: nothing here repeats them.

use std::ops::Range;

use super::message::{At, Message, Reading, Shape, snake};
use super::named;
use super::native::{Native, balancer, parameter};
use super::source::{Kind, Member, Value, shortened};
use crate::base::time::Duration;
use crate::scenario::diagnose::{listed, nearest};

/// The first policy of a `loadBalancingConfig` that gRPC knows (gRFC A24). One that gRPC knows and nothing here does
/// is an error: a client would not go on to the next.
pub fn first_of(list: &Value, what: &str, reading: &mut Reading<'_>) -> Option<Native> {
    let Kind::List(items) = &list.kind else {
        let message = format!("`{what}` is a list `[ … ]`, and not {}", list.kind.in_words());
        reading.error(&list.at, message, "write `[{ \"round_robin\": {} }]`");
        return None;
    };
    let mut chosen = None;
    for item in items {
        let Some(member) = only_member(item, reading) else { continue };
        if chosen.is_none() {
            chosen = policy(&member.key, &member.key_at, &member.value, reading);
            if chosen.is_none() {
                skipped(member, reading);
            }
        }
    }
    if chosen.is_none() {
        let message = format!("`{what}` names no policy that gRPC knows");
        reading.error(&list.at, message, format!("add one: {}", listed(NAMES, "or")));
    }
    chosen.flatten()
}

/// Each member of a `loadBalancingConfig` is a table with one key (A24).
fn only_member<'v>(item: &'v Value, reading: &mut Reading<'_>) -> Option<&'v Member> {
    if let Kind::Table(members) = &item.kind
        && let [only] = members.as_slice()
    {
        return Some(only);
    }
    let message = "a policy is a table with one key, its name";
    reading.error(&item.at, message, "write `{ \"round_robin\": {} }`");
    None
}

/// A client skips what it does not know.
fn skipped(policy: &Member, reading: &mut Reading<'_>) {
    let message = format!("gRPC has no policy `{}`: a client goes on to the next", shortened(&policy.key));
    let help = match nearest(&policy.key, NAMES.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "leave it out to lose this warning".to_owned(),
    };
    reading.warning(&policy.key_at, message, help);
}

/// A policy of gRPC by its name; the outer `None` if gRPC has no such policy.
pub fn policy(name: &str, at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Option<Native>> {
    let read = match name {
        "pick_first" => pick_first,
        "round_robin" => round_robin,
        "weighted_round_robin" => weighted_round_robin,
        "least_request_experimental" => least_request,
        "ring_hash_experimental" => ring_hash,
        "random_subsetting_experimental" => random_subsetting,
        "xds_override_host_experimental" => override_host,
        _ => {
            let (_, help) = LATER.iter().find(|(later, _)| *later == name)?;
            reading.not_yet(at, name, help);
            return Some(None);
        }
    };
    Some(read(at, config, reading))
}

fn pick_first(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    const SHAPE: Shape = Shape::of("`pick_first`", &["shuffleAddressList"]);
    let message = reading.message(config, &SHAPE)?;
    let shuffle = reading.truth(&message, "shuffleAddressList").filter(|shuffle| shuffle.value);
    let given = shuffle.map(|shuffle| ("shuffle", Native::plain(shuffle.at, "uniform")));
    balancer(reading, at, ("grpc.pick_first", "pick_first"), given.into_iter().collect())
}

fn round_robin(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    reading.message(config, &Shape::of("`round_robin`", &[]))?;
    balancer(reading, at, ("grpc.round_robin", "round_robin"), Vec::new())
}

fn weighted_round_robin(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    const SHAPE: Shape = Shape::of(
        "`weighted_round_robin`",
        &[
            "enableOobLoadReport",
            "oobReportingPeriod",
            "blackoutPeriod",
            "weightExpirationPeriod",
            "weightUpdatePeriod",
            "errorUtilizationPenalty",
        ],
    );
    let message = reading.message(config, &SHAPE)?;
    reported(at, ("grpc.weighted_round_robin", "weighted_round_robin"), &message, reading)
}

fn least_request(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    const SHAPE: Shape = Shape::of("`least_request_experimental`", &["choiceCount"]);
    let message = reading.message(config, &SHAPE)?;
    let choices = reading.whole(&message, "choiceCount", 2, u64::from(u32::MAX)).map(|At { value, at }| {
        if value > MOST_CHOICES {
            let said = format!("gRPC compares {MOST_CHOICES} endpoints at most, and not {value}");
            reading.warning(&at, said, format!("write {MOST_CHOICES} to lose this warning"));
        }
        ("choices", Native::plain(at, value.min(MOST_CHOICES)))
    });
    let names = ("grpc.least_request", "least_request_experimental");
    balancer(reading, at, names, choices.into_iter().collect())
}

fn ring_hash(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    const SHAPE: Shape = Shape::of("`ring_hash_experimental`", &["minRingSize", "maxRingSize", "requestHashHeader"]);
    let message = reading.message(config, &SHAPE)?;
    // A76: the header is what calls are hashed by, and here a call has one key, whatever its header is called.
    reading.text(&message, "requestHashHeader");
    let (mut given, mut broken) = (Vec::new(), false);
    for (field, name) in [("minRingSize", "min_ring"), ("maxRingSize", "max_ring")] {
        let size = reading.whole(&message, field, 1, MOST_RING).map(|At { value, at }| {
            if value > MOST_GRPC_RING {
                // A42: `grpc.lb.ring_hash.ring_size_cap`.
                let said = format!("a gRPC client caps its ring at {MOST_GRPC_RING} points, and {value} are asked for");
                reading.warning(&at, said, format!("write {MOST_GRPC_RING} to lose this warning"));
            }
            (name, Native::plain(at, value.min(MOST_GRPC_RING)))
        });
        // One without the other might make no sense for a reason that is not there.
        broken |= size.is_none() && message.has(field);
        given.extend(size);
    }
    if broken {
        return None;
    }
    balancer(reading, at, ("grpc.ring_hash", "ring_hash_experimental"), given)
}

fn random_subsetting(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    const SHAPE: Shape = Shape::of("`random_subsetting_experimental`", &["subsetSize", "childPolicy"]);
    let message = reading.message(config, &SHAPE)?;
    reading.needed(&message, "subsetSize", "`\"subsetSize\": 20`");
    reading.needed(&message, "childPolicy", "`\"childPolicy\": [{ \"round_robin\": {} }]`");
    let size = reading.whole(&message, "subsetSize", 1, u64::from(u32::MAX));
    let child = message.field("childPolicy").and_then(|list| first_of(&list.value, "childPolicy", reading));
    let given = vec![("size", Native::plain(size.as_ref()?.at.clone(), size?.value)), ("child", child?)];
    balancer(reading, at, ("grpc.random_subsetting", "random_subsetting_experimental"), given)
}

/// Sessions that stay (gRFC A55). The filter that gives a call its session is no part of a service config: here a call's
/// key is its session.
fn override_host(at: &Range<usize>, config: &Value, reading: &mut Reading<'_>) -> Option<Native> {
    const SHAPE: Shape = Shape {
        what: "`xds_override_host_experimental`",
        known: &["overrideHostStatus", "childPolicy"],
        later: &[("clusterName", "`overrideHostStatus` says here what the cluster of that name says there")],
        world: &[],
    };
    let message = reading.message(config, &SHAPE)?;
    reading.needed(&message, "childPolicy", "`\"childPolicy\": [{ \"round_robin\": {} }]`");
    let child = message.field("childPolicy").and_then(|list| first_of(&list.value, "childPolicy", reading));
    // Protobuf's empty list is as none at all, which is the default.
    let statuses = reading.list(&message, "overrideHostStatus").filter(|statuses| !statuses.is_empty());
    let allowed = statuses.map(|statuses| {
        let allowed: Vec<String> = statuses.iter().filter_map(|value| host_status(value, reading)).collect();
        let at = statuses[0].at.start..statuses[statuses.len() - 1].at.end;
        ("override_host_status", Native::plain(at, allowed))
    });
    let given = vec![("child", child?)].into_iter().chain(allowed).collect();
    balancer(reading, at, ("session_affinity", "xds_override_host_experimental"), given)
}

/// A status that gRPC looks at; of the others it takes no notice (A55).
fn host_status(value: &Value, reading: &mut Reading<'_>) -> Option<String> {
    let Kind::Text(text) = &value.kind else {
        let message = format!("a status is text, and not {}", value.kind.in_words());
        reading.error(&value.at, message, "write `\"DRAINING\"`, say");
        return None;
    };
    match text.as_str() {
        "UNKNOWN" | "HEALTHY" | "DRAINING" => Some(text.to_ascii_lowercase()),
        "UNHEALTHY" | "TIMEOUT" | "DEGRADED" => {
            let message = format!("gRPC takes no notice of the status `{text}` (A55)");
            reading.warning(&value.at, message, "leave it out to lose this warning");
            None
        }
        other => {
            let near = nearest(other, ["UNKNOWN", "HEALTHY", "DRAINING"]);
            let help = near
                .map_or("there are UNKNOWN, HEALTHY and DRAINING".to_owned(), |near| format!("did you mean `{near}`?"));
            reading.error(&value.at, format!("there is no status `{}`", shortened(other)), help);
            None
        }
    }
}

/// Weights that servers report (gRFC A58). The catalogue says what the parameters are called there.
pub fn reported(
    at: &Range<usize>,
    (name, called): (&str, &str),
    message: &Message<'_>,
    reading: &mut Reading<'_>,
) -> Option<Native> {
    let mut given = Vec::new();
    for (field, member) in message.fields() {
        let Some((_, names)) = REPORTED.iter().find(|(known, _)| *known == snake(field)) else { continue };
        let value = match names[0] {
            "oob" => reading.truth(message, field).filter(|oob| oob.value).map(|oob| Native::plain(oob.at, true)),
            "error_utilization_penalty" => reading.number(message, field).map(|at| Native::plain(at.at, at.value)),
            _ => reading.duration(message, field).map(|time| nanos(&time)),
        };
        match (value, parameter(name, names)) {
            (Some(value), Some(parameter)) => given.push((parameter, value)),
            // Without the balancer that is what is said, once.
            (Some(_), None) if named(name).is_some() => {
                reading.not_yet(&member.key_at, field, "its default is what there is");
            }
            _ => {}
        }
    }
    balancer(reading, at, (name, called), given)
}

/// A duration of the scenario language.
pub fn nanos(time: &At<Duration>) -> Native {
    Native::plain(time.at.clone(), format!("{}ns", time.value.as_nanos()))
}

/// What gRPC knows and a service config may ask for here.
const NAMES: &[&str] = &[
    "pick_first",
    "round_robin",
    "weighted_round_robin",
    "least_request_experimental",
    "ring_hash_experimental",
    "random_subsetting_experimental",
    "xds_override_host_experimental",
];

/// What gRPC knows besides, and what to do about it.
const LATER: &[(&str, &str)] = &[
    ("grpclb", "`round_robin` comes closest"),
    ("rls_experimental", "a client would not go on to the next policy of the list"),
    ("outlier_detection_experimental", "name its `childPolicy` alone"),
    ("priority_experimental", "`balancer = \"grpc.priority\"` in the scenario takes zones in order of distance"),
    ("weighted_target_experimental", "`balancer = \"grpc.weighted_target\"` in the scenario takes zones by weight"),
    ("xds_wrr_locality_experimental", "`balancer = \"grpc.weighted_target\"` in the scenario takes zones by weight"),
    ("xds_cluster_impl_experimental", "name its `childPolicy` alone"),
    ("xds_cluster_manager_experimental", "name the policy of one cluster alone"),
    ("xds_cluster_resolver_experimental", "name its `xdsLbPolicy` alone"),
    ("cds_experimental", "name the policy of the cluster alone"),
    ("oob", "a client would not go on to the next policy of the list"),
];

/// Parameters of weights that servers report, in gRPC and Envoy, and what the catalogue may call each.
const REPORTED: &[(&str, &[&str])] = &[
    ("enable_oob_load_report", &["oob", "enable_oob_load_report", "out_of_band"]),
    ("oob_reporting_period", &["oob_period", "oob_reporting_period"]),
    ("blackout_period", &["blackout", "blackout_period"]),
    ("weight_expiration_period", &["expiration", "weight_expiration", "weight_expiration_period"]),
    ("weight_update_period", &["update_period", "update", "weight_update_period"]),
    ("error_utilization_penalty", &["error_utilization_penalty", "error_penalty"]),
];

/// gRFC A48: more choices count as this many.
const MOST_CHOICES: u64 = 10;
/// gRFC A42: what a client caps every ring at, by default.
const MOST_GRPC_RING: u64 = 4096;
/// gRFC A42: no ring may ask for more.
const MOST_RING: u64 = 8_388_608;
