//! The command line, as clap types and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::timeout;

/// Brings an observability stack up on a Kubernetes cluster, and takes it away again.
#[derive(Debug, Parser)]
#[command(name = "bootstrap", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 done, 1 unexpected error, 2 usage or invalid stack, 3 preflight failed and nothing was changed, \
4 refused (another owner, a conflict, a held lock, a cluster that was not confirmed), 5 a step cannot become ready, 6 out of time, \
7 verification failed, 8 plan --exit-code found changes, 130 interrupted.
Every option is also read from the environment as BOOTSTRAP_…, but for those that give leave (--yes, --adopt, --force-conflicts, \
--purge-data, --show, --rotate).";

/// What holds for every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, global = true, env = "BOOTSTRAP_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the pod's own account]
    #[arg(long, global = true, env = "BOOTSTRAP_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Folder with another stack [default: the one in this binary; see `bootstrap eject`]
    #[arg(long, global = true, env = "BOOTSTRAP_STACK", value_name = "DIR")]
    pub stack: Option<PathBuf>,
    /// How to show what happens, or is found; render, eject and completions have one form only
    #[arg(short, long, global = true, env = "BOOTSTRAP_OUTPUT", default_value = "human")]
    pub output: Output,
    /// Only errors and the last line of what is told on stderr, and of plan only the counts
    #[arg(short, long, global = true, env = "BOOTSTRAP_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Also what did not change, and each change of status, unless --quiet says less
    #[arg(short, long, global = true, env = "BOOTSTRAP_VERBOSE", value_parser = FalseyValueParser::new())]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, global = true, env = "BOOTSTRAP_COLOR", default_value = "auto")]
    pub color: Color,
    /// Do not ask before a cluster is changed that is not local; from outside it must be named with --context
    #[arg(short, long, global = true)]
    pub yes: bool,
}

/// How to show what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A live display on a terminal, else plain lines; what is found as text
    Human,
    /// One line per change of state, also on a terminal
    Plain,
    /// JSON on stdout: an event a line of up, down and credentials --rotate, one document of all else
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the stack up, and wait until everything is really ready
    Up(Up),
    /// Take away what `up` made; claims are kept, unless --purge-data says otherwise
    Down(Down),
    /// Show what `up` would do, object by object; changes nothing
    Plan(Plan),
    /// Show what runs: steps, releases, readiness, addresses
    Status,
    /// Prove that the stack works: metrics, logs and dashboards are there; changes nothing
    Verify(Verify),
    /// Look whether `up` could do its work: cluster, nodes, storage, helm and charts, rights; changes nothing
    Check(Check),
    /// Print the final manifests as YAML; speaks to no cluster
    Render(Render),
    /// Write the embedded stack to a folder, to change it and use it with --stack
    Eject(Eject),
    /// Tell where the credentials are, show them, or change them
    Credentials(Credentials),
    /// Print the completion script of a shell
    Completions(Completions),
}

/// Which steps.
#[derive(Debug, Args)]
pub struct Steps {
    /// Only these steps and all that they need
    #[arg(long, env = "BOOTSTRAP_ONLY", value_name = "STEP", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Without these steps, which count as there
    #[arg(long, env = "BOOTSTRAP_SKIP", value_name = "STEP", value_delimiter = ',')]
    pub skip: Vec<String>,
}

/// What `up` is to make of the cluster, and `plan` to show.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Which steps.
    #[command(flatten)]
    pub steps: Steps,
    /// Storage class of the claims; `auto` keeps what is there, else takes openebs-hostpath or the cluster's default
    #[arg(long, env = "BOOTSTRAP_STORAGE_CLASS", default_value = "auto", value_name = "CLASS")]
    pub storage_class: String,
    /// Folder with charts to use instead of a repository's: a folder or .tgz for each
    #[arg(long, env = "BOOTSTRAP_CHARTS", value_name = "DIR")]
    pub charts: Option<PathBuf>,
    /// Take over objects and releases that are there and not of this stack
    #[arg(long)]
    pub adopt: bool,
    /// Take fields from the programs that own them
    #[arg(long)]
    pub force_conflicts: bool,
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// What is wanted.
    #[command(flatten)]
    pub wanted: Wanted,
    /// End with 8 when there is something to do
    #[arg(long, env = "BOOTSTRAP_EXIT_CODE", value_parser = FalseyValueParser::new())]
    pub exit_code: bool,
}

/// Options of `up`.
#[derive(Debug, Args)]
pub struct Up {
    /// What is wanted.
    #[command(flatten)]
    pub wanted: Wanted,
    /// How long all of it may take
    #[arg(long, env = "BOOTSTRAP_TIMEOUT", default_value = "10m", value_parser = timeout::parse)]
    pub timeout: Duration,
    /// Wait for another run on this stack to end
    #[arg(long, env = "BOOTSTRAP_WAIT_LOCK", value_parser = FalseyValueParser::new())]
    pub wait_lock: bool,
    /// Also write what became of each step to this file, as `JUnit` XML
    #[arg(long, env = "BOOTSTRAP_JUNIT", value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Options of `down`.
#[derive(Debug, Args)]
pub struct Down {
    /// Also delete the claims and the data in them
    #[arg(long)]
    pub purge_data: bool,
    /// Only say what would be done
    #[arg(long, env = "BOOTSTRAP_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// How long all of it may take
    #[arg(long, env = "BOOTSTRAP_TIMEOUT", default_value = "10m", value_parser = timeout::parse)]
    pub timeout: Duration,
    /// Wait for another run on this stack to end
    #[arg(long, env = "BOOTSTRAP_WAIT_LOCK", value_parser = FalseyValueParser::new())]
    pub wait_lock: bool,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// How long to wait for what needs time
    #[arg(long, env = "BOOTSTRAP_TIMEOUT", default_value = "3m", value_parser = timeout::parse)]
    pub timeout: Duration,
    /// Also write the findings to this file, as `JUnit` XML
    #[arg(long, env = "BOOTSTRAP_JUNIT", value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Which steps.
    #[command(flatten)]
    pub steps: Steps,
    /// Storage class that `up` would be given
    #[arg(long, env = "BOOTSTRAP_STORAGE_CLASS", default_value = "auto", value_name = "CLASS")]
    pub storage_class: String,
    /// Folder with charts that `up` would be given
    #[arg(long, env = "BOOTSTRAP_CHARTS", value_name = "DIR")]
    pub charts: Option<PathBuf>,
}

/// Options of `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// Which steps.
    #[command(flatten)]
    pub steps: Steps,
    /// Storage class to write into claims that name none; `auto` writes none
    #[arg(long, env = "BOOTSTRAP_STORAGE_CLASS", default_value = "auto", value_name = "CLASS")]
    pub storage_class: String,
}

/// Options of `eject`.
#[derive(Debug, Args)]
pub struct Eject {
    /// Folder to write to; it must be empty or not there
    pub dir: PathBuf,
}

/// Options of `credentials`.
#[derive(Debug, Args)]
pub struct Credentials {
    /// Print the values, too
    #[arg(long, conflicts_with = "rotate")]
    pub show: bool,
    /// Give what is random a new value, and wait until all that reads it has taken it; prints no value, which --show does after it
    #[arg(long)]
    pub rotate: bool,
    /// How long --rotate may take
    #[arg(long, env = "BOOTSTRAP_TIMEOUT", default_value = "10m", value_parser = timeout::parse)]
    pub timeout: Duration,
    /// With --rotate, wait for another run on this stack to end
    #[arg(long, env = "BOOTSTRAP_WAIT_LOCK", value_parser = FalseyValueParser::new())]
    pub wait_lock: bool,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    pub shell: Shell,
}
