//! What a client is made of, as a scenario file says it.

use serde::{Deserialize, Serialize};

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

/// A configuration in few words: its name, and its parameters in parentheses.
fn brief(value: &serde_json::Value) -> String {
    let Some((name, parameters)) = value.as_object().and_then(|map| map.iter().next()) else {
        return value.to_string();
    };
    let shown = |(key, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Object(_) => format!("{key}={}", brief(value)),
        serde_json::Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    let inside: Vec<String> = parameters.as_object().into_iter().flatten().map(shown).collect();
    if inside.is_empty() { name.clone() } else { format!("{name}({})", inside.join(", ")) }
}
