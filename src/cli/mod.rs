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
    guarded(dispatch)
}

/// Turns a panic into an exit, after it has said what is wrong by itself.
fn guarded(verb: impl FnOnce() -> Exit + std::panic::UnwindSafe) -> Exit {
    std::panic::catch_unwind(verb).unwrap_or_else(|_| {
        eprintln!("error: this is a bug of plimsoll {}: nothing was written after it", env!("CARGO_PKG_VERSION"));
        eprintln!("  help: report it with the scenario and the command line; the seeds make it happen again");
        Exit::Bug
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};
    use crate::scenario::resolve;
    use crate::study;

    /// Somebody's own balancer, with a mistake in it.
    struct Broken;

    impl Balancer for Broken {
        fn on_endpoints(&mut self, _now: crate::base::time::Instant, _endpoints: &Endpoints<'_>) {}

        fn pick(
            &mut self,
            _now: crate::base::time::Instant,
            _request: &Request<'_>,
            _endpoints: &Endpoints<'_>,
        ) -> Pick {
            panic!("this balancer is broken")
        }
    }

    #[test]
    fn a_panic_inside_a_run_is_our_bug() {
        let text = "name = 'x'\nduration = '2s'\nseeds = 2\ncalls = { rate = '10/s' }\n\
                    backends = [{ count = 2, service = '1ms' }]\ncontenders = { rr = { balancer = 'round_robin' } }\n";
        let mut plan = resolve::parse(text, "x.toml", &Default::default()).expect("it is a scenario").plans.remove(0);
        let run = |plan: &crate::scenario::plan::Plan, threads| {
            let settings = study::Settings { threads, ..Default::default() };
            guarded(std::panic::AssertUnwindSafe(|| {
                study::run(plan, &settings).map_or(Exit::Interrupted, |_| Exit::Pass)
            }))
        };
        assert_eq!(run(&plan, 2), Exit::Pass);
        plan.compete("broken", |_| Box::new(Broken));
        for threads in [1, 2] {
            assert_eq!(run(&plan, threads), Exit::Bug, "on {threads} threads");
        }
        assert_eq!(Exit::Bug.code(), 1);
    }
}
