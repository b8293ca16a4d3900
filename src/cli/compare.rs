//! `plimsoll compare`: two report folders side by side.

use std::io::IsTerminal;

use super::Exit;
use super::args::{CompareOptions, Format};
use super::run::{say, width};
use crate::report::beside::Beside;
use crate::report::recorded;

/// Reads both folders and shows what changed from the first to the second. A difference is no failure.
pub(super) fn compare(options: &CompareOptions) -> Exit {
    let read = [&options.a, &options.b].map(|folder| recorded::read(folder));
    for error in read.iter().filter_map(|read| read.as_ref().err()) {
        eprintln!(
            "error: {error}\n  help: give two folders that `plimsoll run` has written, such as reports/region-outage"
        );
    }
    let [Ok(before), Ok(after)] = read else { return Exit::BadInput };
    let beside = Beside::new(&before, &after);
    match options.format {
        Format::Json => say(&serde_json::to_string_pretty(&beside.json()).unwrap_or_default()),
        Format::Human => say(&beside.text(width(), options.color.wanted(std::io::stdout().is_terminal()))),
    }
}
