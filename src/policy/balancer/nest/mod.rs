//! Balancers made of balancers. A parent decides which of its children takes a call; each child sees its own
//! endpoints and nothing else, and cannot tell that it has a parent.
//!
//! [`children::Children`] does what all of them need: it keeps one child for each group of endpoints, shows it its
//! part of the view, brings it what is learned about its endpoints and passes its wishes on.

pub mod aperture;
pub mod canary;
pub mod children;
pub mod connect_on_pick;
pub mod deterministic_aperture;
pub mod deterministic_subsetting;
pub mod envoy_priority;
pub mod gslb;
pub mod levels;
pub mod locality_first;
pub mod metadata_subsets;
pub mod priority;
pub mod random_subsetting;
pub mod session_affinity;
pub mod slow_start;
pub mod subset;
pub mod subsetting;
pub mod weighted_target;
pub mod zone_aware;
