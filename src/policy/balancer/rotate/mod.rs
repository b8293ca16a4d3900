//! Rotations: balancers that take the endpoints in a fixed order and look at nothing.

pub mod round_robin;
