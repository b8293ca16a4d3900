//! The virtual world: channels, servers and a network in one thread and in no time. It feeds inputs, carries out
//! actions and applies effects; it decides nothing, and it knows kinds, never names.

mod call;
mod client;
pub mod engine;
mod flight;
mod link;
mod lookahead;
mod oracle;
pub mod queue;
mod registry;
mod reports;
mod script;
mod server;

pub use engine::{Finish, run};
