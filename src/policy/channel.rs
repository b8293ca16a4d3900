//! The whole client machine.

use serde::{Deserialize, Serialize};

use super::{balancer, health, limit, retry};

/// One client configuration: what a contender is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// Which endpoint takes a call.
    pub balancer: balancer::catalog::Spec,
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
}
