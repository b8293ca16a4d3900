//! A gRPC service config in JSON (<https://github.com/grpc/grpc/blob/master/doc/service_config.md>) as the settings of a
//! contender.
//!
//! `loadBalancingConfig`: the first policy of the list that gRPC knows becomes the balancer (gRFC A24); names that it does
//! not know are skipped with a warning, and one that it knows and nothing here does is an error. Read are `pick_first`,
//! `round_robin`, `weighted_round_robin`, `least_request_experimental`, `ring_hash_experimental` and
//! `random_subsetting_experimental`. A hash policy looks at the key of a call, whatever `requestHashHeader` is called.
//! Without a policy the balancer is that of the scenario, or else `pick_first`.
//!
//! `methodConfig`: `timeout` becomes `deadline`, `waitForReady` becomes `wait_for_ready`, and `retryPolicy` becomes `retry`
//! with the waits of gRFC A6. Calls have no methods here, so one entry counts for all of them.
//!
//! Not yet: `retryThrottling`, `hedgingPolicy`, `healthCheckConfig`.

use super::Settings;
use super::grpc;
use super::message::{At, Message, Reading, Shape};
use super::native::Native;
use super::retry;
use super::source::{Kind, Value, shortened};
use crate::policy::balancer::catalog::Spec;

/// The settings of a service config; `None` if it is no table.
pub fn read(value: &Value, reading: &mut Reading<'_>) -> Option<Settings> {
    let config = reading.message(value, &SERVICE_CONFIG)?;
    let balancer = balancer(&config, reading);
    let mut settings = Settings { balancer, ..Settings::default() };
    if let Some(list) = reading.list(&config, "methodConfig") {
        method_config(list, &mut settings, reading);
    }
    Some(settings)
}

fn balancer(config: &Message<'_>, reading: &mut Reading<'_>) -> Option<Spec> {
    let chosen = match config.field("loadBalancingConfig") {
        Some(list) => {
            if let Some(old) = config.field("loadBalancingPolicy") {
                let message = "`loadBalancingPolicy` counts for nothing beside `loadBalancingConfig`";
                reading.warning(&old.key_at, message, "leave it out to lose this warning: gRPC does not look at it");
            }
            grpc::first_of(&list.value, "loadBalancingConfig", reading)
        }
        None => old_policy(config, reading),
    };
    chosen?.read("loadBalancingConfig", reading)
}

/// `loadBalancingPolicy`, which `loadBalancingConfig` replaced: a name alone.
fn old_policy(config: &Message<'_>, reading: &mut Reading<'_>) -> Option<Native> {
    let policy = reading.text(config, "loadBalancingPolicy")?;
    let name = policy.value.to_ascii_lowercase();
    let empty = Value { at: policy.at.clone(), kind: Kind::Table(Vec::new()) };
    match grpc::policy(&name, &policy.at, &empty, reading) {
        Some(chosen) => chosen,
        None => {
            let message = format!("gRPC has no policy `{}`", shortened(policy.value));
            reading.error(&policy.at, message, "write `round_robin` or `pick_first`, or use `loadBalancingConfig`");
            None
        }
    }
}

/// What calls follow. A scenario has calls, and no names of methods: there can be one entry only.
fn method_config(list: &[Value], settings: &mut Settings, reading: &mut Reading<'_>) {
    let entries: Vec<(&Value, Message<'_>)> =
        list.iter().filter_map(|value| Some((value, reading.message(value, &METHOD_CONFIG)?))).collect();
    let named: Vec<(bool, &Message<'_>)> =
        entries.iter().map(|(_, entry)| (names_all(entry, reading), entry)).collect();
    // The entry for all methods comes before those for some of them, wherever it stands.
    let Some(chosen) = named.iter().position(|(all, _)| *all).or((!named.is_empty()).then_some(0)) else { return };
    for (at, (all, entry)) in named.iter().enumerate() {
        if at == chosen && !all && entry.has("name") {
            let message = "calls have no service or method here: this entry counts for all of them";
            reading.warning(&entry.at.clone(), message, "write `\"name\": [{}]` to lose this warning");
        }
        if at != chosen {
            let message = "more than one entry of `methodConfig` is not supported yet in this version";
            let help = "keep the entry of the method that the scenario is about: calls have no methods here";
            let place = entry.at.start..entry.at.start + 1;
            reading.error(&place, message, help);
        }
        method(entry, settings, reading, at == chosen);
    }
}

/// True if the entry is for all methods: one of its names is empty.
fn names_all(entry: &Message<'_>, reading: &mut Reading<'_>) -> bool {
    reading.needed(entry, "name", "`\"name\": [{}]`, which means all methods");
    let Some(names) = reading.list(entry, "name") else { return false };
    if names.is_empty() {
        let place = entry.field("name").map_or(entry.at.clone(), |member| member.value.at.clone());
        reading.error(&place, "an entry without a name is for no method", "write `[{}]`, which means all methods");
    }
    let mut all = false;
    for name in names {
        let Some(name) = reading.message(name, &NAME) else { continue };
        let service = reading.text(&name, "service").map_or("", |service| service.value);
        let method = reading.text(&name, "method").map_or("", |method| method.value);
        if service.is_empty() && !method.is_empty() {
            let place = name.at.clone();
            reading.error(&place, "a name with a method needs its service", "add `service`, or leave `method` out");
        }
        all |= service.is_empty();
    }
    all
}

/// One entry. It is judged whether it counts or not.
fn method(entry: &Message<'_>, settings: &mut Settings, reading: &mut Reading<'_>, counts: bool) {
    let wait_for_ready = reading.truth(entry, "waitForReady").map(|truth: At<bool>| truth.value);
    let deadline = reading.some_time(entry, "timeout").map(|time| time.value);
    let retry = retry::grpc(entry, reading);
    if counts {
        *settings = Settings { balancer: settings.balancer.take(), retry, wait_for_ready, deadline };
    }
}

const SERVICE_CONFIG: Shape = Shape {
    what: "a service config",
    known: &["loadBalancingConfig", "loadBalancingPolicy", "methodConfig"],
    later: &[
        ("retryThrottling", "retries are never throttled here"),
        ("healthCheckConfig", "`health = { three_state = {} }` in the contender asks servers how they are"),
    ],
    world: &[],
};
const METHOD_CONFIG: Shape = Shape {
    what: "an entry of `methodConfig`",
    known: &["name", "waitForReady", "timeout", "retryPolicy"],
    later: &[
        ("hedgingPolicy", "`retryPolicy` is what there is against slow calls"),
        ("maxRequestMessageBytes", "messages have no size here"),
        ("maxResponseMessageBytes", "messages have no size here"),
    ],
    world: &[],
};
const NAME: Shape = Shape::of("a name of `methodConfig`", &["service", "method"]);
