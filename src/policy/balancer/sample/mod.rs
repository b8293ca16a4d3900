//! Samplers: balancers that draw candidates at random, and perhaps compare the few they drew.

pub mod random;
