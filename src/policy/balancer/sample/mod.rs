//! Samplers: balancers that draw candidates at random, and perhaps compare the few they drew.
//!
//! Comparing two already takes most of what comparing all would give, at a cost that does not grow with the
//! fleet; what is compared is a score.

pub mod adaptive;
pub mod by_weight;
pub mod choices;
pub mod gozero_p2c;
pub mod join_idle_queue;
pub mod kratos_p2c;
pub mod lalb;
pub mod least_request;
pub mod p2c_memory;
pub mod peak_ewma;
pub mod places;
pub mod random;
pub mod weighted_random;
pub mod weighted_response_time;
