//! Rotations: balancers that take the endpoints in a fixed order and look at nothing but static weights.
//!
//! The weighted ones differ in how evenly they spread a heavy endpoint's calls over the cycle, in what a pick
//! costs, and in where a cycle begins after the endpoints changed, which is where they go wrong in practice.

pub mod edf;
pub mod pick_first;
pub mod round_robin;
pub mod stride;
pub mod turn;
pub mod wrr_edf;
pub mod wrr_list;
pub mod wrr_map;
pub mod wrr_smooth;
pub mod wrr_static_stride;
