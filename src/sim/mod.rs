//! The virtual world: channels, servers and a network in one thread and in no time. It feeds inputs, carries out
//! actions and applies effects; it decides nothing, and it knows kinds, never names.

mod client;
mod departures;
pub mod engine;
mod flight;
mod link;
pub mod queue;
mod registry;
mod script;
mod server;

pub use engine::{Finish, run};
