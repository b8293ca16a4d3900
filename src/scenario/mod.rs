//! A file becomes a plan: the resolved form of a scenario, which cannot be wrong.

pub mod plan;
