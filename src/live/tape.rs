//! What a live channel was told and what it decided: enough to let another one decide it again.

use crate::base::time::Instant;
use crate::policy::channel::{Action, Channel, Input};

/// What woke a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Stir {
    /// Something happened.
    Input(Input),
    /// Its time came.
    Timeout,
}

/// One turn of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// When.
    pub now: Instant,
    /// Why.
    pub stir: Stir,
    /// Everything that it wanted done, in order.
    pub actions: Vec<Action>,
}

/// Feeds the stirs of a tape into a channel. Hands out what it wants done at each turn.
pub fn replay(channel: &mut Channel, tape: &[Turn]) -> Vec<Vec<Action>> {
    let mut turn = |turn: &Turn| {
        match &turn.stir {
            Stir::Input(input) => channel.on_input(turn.now, input.clone()),
            Stir::Timeout => channel.on_timeout(turn.now),
        }
        std::iter::from_fn(|| channel.poll_action()).collect()
    };
    tape.iter().map(&mut turn).collect()
}
