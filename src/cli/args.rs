//! The arguments.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::Exit;
use crate::base::quantity::Bytes;
use crate::scenario::resolve::{MOST_SEEDS, Options};

/// Which load-balancing strategy keeps a gRPC fleet above water, and will tomorrow's change still?
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run scenarios in virtual time, print the comparison, write the report folder
    Run(RunOptions),
    /// Play scenarios in real time against real servers on this machine, with the same report
    #[cfg(feature = "live")]
    Live(RunOptions),
    /// Run and judge: every [[expect]] of the files; the exit code is for CI
    Check(RunOptions),
    /// Two report folders side by side: what changed from the first to the second
    Compare(CompareOptions),
    /// Hold the simulator against queueing theory: models whose answer is known
    Validate(ValidateOptions),
    /// List what there is: scenarios, balancers, faults, metrics
    List(ListOptions),
    /// Explain one balancer, fault or metric
    Explain(ExplainOptions),
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether to colour what goes to standard output (or error).
    pub(super) fn wanted(self, terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                if set("NO_COLOR") { false } else { set("CLICOLOR_FORCE") || terminal }
            }
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RunOptions {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Where report folders are written
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(super) out: PathBuf,
    /// Replications, instead of the file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SEEDS)))]
    pub(super) seeds: Option<u32>,
    /// First seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(super) seed: u64,
    /// Only contenders whose names match one of these globs
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) contenders: Vec<String>,
    /// Threads; by default one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) threads: usize,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
    /// Print less
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// A value for ${NAME} in the files
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_set)]
    pub(super) sets: Vec<(String, String)>,
    /// Print the resolved plan with every default, and run nothing
    #[arg(long)]
    pub(super) print_plan: bool,
    /// When to colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
    /// A plan that may need more calls is refused
    #[arg(long, value_name = "N", default_value = "1e9", value_parser = parse_calls)]
    pub(super) max_calls: u64,
    /// A plan that may need more memory is refused
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    pub(super) max_memory: Bytes,
}

impl RunOptions {
    /// What these options say about reading a file.
    pub(super) fn reading(&self) -> Options {
        Options {
            sets: self.sets.clone(),
            environment: |name| std::env::var(name).ok(),
            seeds: self.seeds,
            first_seed: self.seed,
            contenders: self.contenders.clone(),
            max_calls: self.max_calls,
            max_memory: self.max_memory.value(),
            folder: None,
        }
    }

    /// The command line that makes the results of one file again.
    pub(super) fn command(&self, verb: &str, file: &std::path::Path) -> String {
        let mut words = vec!["plimsoll".to_owned(), verb.to_owned(), shown(&file.to_string_lossy())];
        words.extend(self.seeds.map(|seeds| format!("--seeds {seeds}")));
        words.extend((self.seed != 1).then(|| format!("--seed {}", self.seed)));
        words.extend(
            (!self.contenders.is_empty()).then(|| format!("--contenders {}", shown(&self.contenders.join(",")))),
        );
        words.extend(self.sets.iter().map(|(name, value)| format!("--set {}", shown(&format!("{name}={value}")))));
        words.join(" ")
    }
}

/// A word as a shell takes it.
fn shown(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("write NAME=VALUE instead of `{text}`"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_calls(text: &str) -> Result<u64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of calls, such as 1e9"))?;
    if (1.0..=1e18).contains(&value) {
        Ok(value as u64)
    } else {
        Err("a number of calls lies between 1 and 1e18".to_owned())
    }
}

#[derive(Debug, Args)]
pub(super) struct CompareOptions {
    /// A report folder, such as reports/region-outage
    #[arg(value_name = "A")]
    pub(super) a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub(super) b: PathBuf,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
    /// When to colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
}

#[derive(Debug, Args)]
pub(super) struct ValidateOptions {
    /// Only models with this in their name, such as `M/M/1`
    #[arg(value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
    /// Threads; by default one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) threads: usize,
    /// Print only what disagrees
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    /// What
    #[arg(value_enum)]
    pub(super) what: What,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// The shipped scenario files
    Scenarios,
    /// Load-balancing strategies
    Balancers,
    /// What can break
    Faults,
    /// What is measured
    Metrics,
    /// How calls arrive
    Arrivals,
    /// Laws of durations
    Laws,
}

#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// A balancer, a fault or a metric
    pub(super) name: String,
}

/// Prints completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Exit {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "plimsoll", &mut text);
    super::run::say(&String::from_utf8_lossy(&text))
}
