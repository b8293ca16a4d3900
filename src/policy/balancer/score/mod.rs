//! Scores: how loaded an endpoint looks to one client. Strategies that compare a few candidates, or all, are a
//! way of choosing candidates and a score.

pub mod conn_latency;
pub mod in_flight;
pub mod peak_ewma;
