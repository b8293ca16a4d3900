//! What the program says to a script.

use std::process::{ExitCode, Termination};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well, IDENTICAL included.
    Pass,
    /// Our bug.
    Bug,
    /// Bad input or arguments; nothing has run and nothing is written.
    BadInput,
    /// A gate failed.
    Failed,
    /// A gate could not be decided.
    Undecided,
    /// The environment failed: a full disk, a live peer.
    Environment,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// The code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Pass => 0,
            Exit::Bug => 1,
            Exit::BadInput => 2,
            Exit::Failed => 3,
            Exit::Undecided => 4,
            Exit::Environment => 5,
            Exit::Interrupted => 130,
        }
    }

    /// Of two commands' ends the one that a script must hear of: a bug before bad input before a failed gate.
    pub fn worse(self, other: Exit) -> Exit {
        const ORDER: [Exit; 7] = [
            Exit::Pass,
            Exit::Undecided,
            Exit::Failed,
            Exit::Environment,
            Exit::BadInput,
            Exit::Bug,
            Exit::Interrupted,
        ];
        let rank = |exit| ORDER.iter().position(|other| *other == exit);
        if rank(self) >= rank(other) { self } else { other }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
