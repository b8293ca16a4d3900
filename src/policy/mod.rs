//! The decision core: everything a gRPC client decides, as plain state machines. No clock, no socket, no task
//! lives here, and no type that knows the truth about a server: a strategy cannot cheat.
//!
//! Four verbs everywhere: `on_x` tells a machine that something happened, a bare verb asks it, `poll_x` takes
//! what it wants done, `next_timeout` / `on_timeout` wake it. Every machine promises: `now` never runs
//! backwards, waking early or twice changes nothing and draws nothing, unknown endpoints are ignored, nothing
//! blocks, ties break by the lower place in the list unless its card says otherwise.

mod avoid;
pub mod balancer;
mod call;
pub mod channel;
mod connect;
pub mod endpoints;
pub mod exchange;
pub mod hash_policy;
pub mod health;
pub mod limit;
pub mod request;
pub mod retry;
pub mod spec;
pub mod truth;
