//! What a client is made of, as a scenario file says it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{balancer, hash_policy, health, limit, retry};
use crate::base::time::Duration;

/// One client configuration: what a contender is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// Which endpoint takes a call.
    pub balancer: balancer::own::Strategy,
    /// What happens after a failed attempt; nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<retry::Config>,
    /// How many calls may be open at once; no limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<limit::Spec>,
    /// Active health checks; by default the state of the connection is all that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<health::Spec>,
    /// Calls wait for a ready endpoint instead of failing (gRPC's wait-for-ready).
    #[serde(default)]
    pub wait_for_ready: bool,
    /// No call takes longer, whatever its own deadline (gRPC's `timeout` of a method); no limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// What calls are hashed by; by default their key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hash: Vec<hash_policy::Policy>,
}

impl ChannelSpec {
    /// One line that says what it is, such as `least_request · retry ×3`.
    pub fn about(&self) -> String {
        let mut parts = vec![brief(&serde_json::to_value(&self.balancer).unwrap_or_default())];
        parts.extend(self.retry.as_ref().map(|retry| format!("retry ×{} after {}", retry.attempts, retry.backoff)));
        parts.extend(self.limit.as_ref().map(|limit| format!("limit {}", limit.name())));
        parts.extend(self.health.as_ref().map(|health| health.name().to_owned()));
        parts.extend(self.wait_for_ready.then(|| "waits for ready".to_owned()));
        parts.extend(self.deadline.map(|deadline| format!("deadline {deadline}")));
        let hashed: Vec<&str> = self.hash.iter().map(|policy| policy.name()).collect();
        parts.extend((!hashed.is_empty()).then(|| format!("hashed by {}", hashed.join("+"))));
        parts.join(" · ")
    }
}

/// A configuration in few words: its name, and in parentheses the parameters that are not as they are by default.
fn brief(value: &Value) -> String {
    if let Some(items) = value.as_array() {
        return format!("[{}]", items.iter().map(brief).collect::<Vec<_>>().join(", "));
    }
    match value.as_object().map(|map| (map.len(), map.iter().next())) {
        Some((1, Some((name, Value::Object(parameters))))) => {
            let usual = usual(name);
            let inside = listed(parameters.iter().filter(|(key, value)| usual.get(*key) != Some(value)));
            if inside.is_empty() { name.clone() } else { format!("{name}({inside})") }
        }
        Some(_) => format!("({})", listed(value.as_object().into_iter().flatten())),
        None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

fn listed<'v>(parameters: impl Iterator<Item = (&'v String, &'v Value)>) -> String {
    parameters.map(|(key, value)| format!("{key}={}", brief(value))).collect::<Vec<_>>().join(", ")
}

/// The parameters of a balancer that stands there by its bare name.
fn usual(name: &str) -> Value {
    let bare = serde_json::from_value::<balancer::catalog::Spec>(name.into()).and_then(serde_json::to_value);
    bare.ok().and_then(|mut bare| bare.get_mut(name).map(Value::take)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(balancer: &str) -> String {
        let spec: ChannelSpec = serde_json::from_str(&format!(r#"{{ "balancer": {balancer} }}"#)).unwrap();
        spec.about()
    }

    #[test]
    fn what_is_usual_goes_without_saying() {
        for (balancer, expected) in [
            (r#""least_request""#, "least_request"),
            (r#"{ "least_request": { "choices": 2, "sampling": "distinct" } }"#, "least_request(sampling=distinct)"),
            (r#""grpc.ring_hash""#, "ring_hash(connect=lazy)"),
            (r#""aperture""#, "aperture"),
            (
                r#"{ "locality_first": { "child": { "ring_hash": { "min_ring": 7 } }, "min_healthy": "50%" } }"#,
                "locality_first(child=ring_hash(min_ring=7), min_healthy=50%)",
            ),
            (
                r#"{ "lb_subset": { "selectors": [{ "keys": ["stage", "version"] }], "child": "maglev" } }"#,
                "metadata_subsets(selectors=[(keys=[stage, version])], child=maglev)",
            ),
            (
                r#"{ "canary": { "child": "random", "guard": { "excess": "1%", "during": "5s" } } }"#,
                "canary(child=random, guard=(excess=1%, during=5s))",
            ),
        ] {
            assert_eq!(about(balancer), expected);
        }
    }
}
