//! Endpoints in levels of nearness: what priorities are made of.

use serde::{Deserialize, Serialize};

use super::children::Children;
use crate::base::time::Duration;
use crate::policy::balancer::Endpoints;
use crate::policy::balancer::catalog::Context;
use crate::policy::endpoints::Endpoint;

/// What makes a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A zone, the nearest first.
    #[default]
    Zone,
    /// A region, the one with the nearest zone first.
    Region,
    /// All endpoints are one level.
    All,
}

impl By {
    /// The number of an endpoint's level, which is not its rank.
    pub fn group(self, endpoint: &Endpoint) -> u32 {
        match self {
            By::Zone => u32::from(endpoint.zone.0),
            By::Region => u32::from(endpoint.region.0),
            By::All => 0,
        }
    }

    /// The levels that have endpoints, nearest first; of those equally far the client's own, then the lower number.
    pub fn ranked(self, children: &Children, endpoints: &Endpoints<'_>, context: &Context) -> Vec<u32> {
        let own = match self {
            By::Zone => u32::from(context.zone.0),
            By::Region => u32::from(context.region.0),
            By::All => 0,
        };
        let far = |endpoint: &Endpoint| context.distances.get(endpoint.zone.index()).copied().unwrap_or(Duration::MAX);
        let with_members = children.groups().filter(|(_, child)| !child.members().is_empty());
        let mut levels: Vec<(Duration, bool, u32)> = with_members
            .map(|(number, child)| {
                let members = child.members().iter().filter_map(|id| endpoints.get(*id));
                (members.map(far).min().unwrap_or(Duration::MAX), number != own, number)
            })
            .collect();
        levels.sort_unstable();
        levels.into_iter().map(|(_, _, number)| number).collect()
    }
}
