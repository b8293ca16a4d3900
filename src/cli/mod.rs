//! The command line: arguments become a verb, a verb becomes an exit code.

mod args;
mod catalogue;
mod check;
mod compare;
mod exit;
#[cfg(feature = "live")]
mod live;
mod page;
mod progress;
mod run;
mod validate;

pub use exit::Exit;

use args::{Arguments, Verb};
use clap::Parser;

/// Runs the program with the arguments of this process.
///
/// A panic is our bug and ends as one, whatever the verb was doing.
pub fn main() -> Exit {
    std::panic::catch_unwind(dispatch).unwrap_or(Exit::Bug)
}

fn dispatch() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes.
            let _ = error.print();
            return if error.use_stderr() { Exit::BadInput } else { Exit::Pass };
        }
    };
    if let Err(error) = crate::base::math::self_test() {
        eprintln!("error: {error}");
        return Exit::Bug;
    }
    match &arguments.verb {
        Verb::Run(options) => run::run(options),
        #[cfg(feature = "live")]
        Verb::Live(options) => live::live(options),
        Verb::Check(options) => check::check(options),
        Verb::Compare(options) => compare::compare(options),
        Verb::Validate(options) => validate::validate(options),
        Verb::List(options) => catalogue::list(options),
        Verb::Explain(options) => catalogue::explain(options),
        Verb::Schema => catalogue::schema(),
        Verb::Completions { shell } => args::completions(*shell),
    }
}
