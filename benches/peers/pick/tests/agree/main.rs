//! Our balancers and crates that implement the same algorithm get the same inputs over random histories, and pick alike.

mod choices;
mod keys;
mod latency;
mod ours;
mod turns;
