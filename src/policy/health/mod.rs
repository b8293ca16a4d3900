//! Active health checks: who is probed when, and what the answers mean.

pub mod three_state;

use crate::base::choice::choice;

choice! {
    /// Health checking as a scenario file asks for it.
    pub enum Spec as "health check" {
        /// Healthy, suspect, failed.
        ThreeState = "three_state" => three_state::Config,
    }
}
