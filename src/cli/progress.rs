//! Progress on standard error, and only where somebody looks; Ctrl-C that leaves whole folders.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Exit;

/// A bar over the runs of one plan.
pub(super) fn bar(runs: usize, name: &str, quiet: bool) -> ProgressBar {
    draw(runs as u64, name, quiet, "{prefix} {wide_bar} {pos}/{len} runs, {eta} left")
}

/// A bar over the seconds of one live run.
#[cfg(feature = "live")]
pub(super) fn seconds(length: f64, name: &str, quiet: bool) -> ProgressBar {
    draw(length.ceil() as u64, name, quiet, "{prefix} {wide_bar} {pos}/{len} s")
}

fn draw(length: u64, name: &str, quiet: bool, template: &str) -> ProgressBar {
    // A build server's log is no place for a moving bar.
    let seen = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() && !quiet;
    let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar
}

static INSTALL: Once = Once::new();

/// A flag that Ctrl-C sets. The second Ctrl-C ends the program at once.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    static FLAG: std::sync::OnceLock<Arc<AtomicBool>> = std::sync::OnceLock::new();
    let flag = FLAG.get_or_init(Arc::default).clone();
    let handler = flag.clone();
    INSTALL.call_once(|| {
        let installed = ctrlc::set_handler(move || {
            if handler.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
            eprintln!("interrupted: finishing the runs that have begun; once more to end at once");
        });
        if let Err(error) = installed {
            eprintln!("warning: Ctrl-C will end the program at once: {error}");
        }
    });
    flag
}
