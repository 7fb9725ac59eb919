//! The verbs: each builds what it needs, runs it, and maps the outcome to an exit code.

use std::ffi::OsString;

use anyhow::Context as _;
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::apply::Leave;
use crate::cli::{self, Cli, Command, Common, Steps, Wanted};
use crate::cluster::{Cluster, Identity, Target};
use crate::engine;
use crate::error::{Error, Exit};
use crate::plan::Selection;
use crate::preflight;
use crate::report::{Color, Options, Output, Printer, Verbosity};
use crate::secret::Values;
use crate::stack::Stack;

mod check;
mod completions;
mod consent;
mod credentials;
mod down;
mod eject;
mod plan;
mod render;
mod rotate;
mod session;
mod status;
mod up;
mod verify;

/// Runs the command line and returns the exit code.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stdout is the reader's choice.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success.code(),
                _ => Exit::Usage.code(),
            };
        }
    };
    let printer = Printer::stdio(color(&cli.common));
    let result = runtime().and_then(|runtime| {
        let result = runtime.block_on(dispatch(&cli, &printer));
        // A second Ctrl-C has left things that would be waited for.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(exit) => exit.code(),
        Err(error) => {
            let error = error.downcast::<Error>().unwrap_or_else(|other| {
                let causes = other.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ");
                let error = Error::new(Exit::Unexpected, other.to_string());
                if causes.is_empty() { error } else { error.because(causes) }
            });
            printer.error(&error);
            error.exit().code()
        }
    }
}

async fn dispatch(cli: &Cli, printer: &Printer) -> anyhow::Result<Exit> {
    let common = &cli.common;
    match &cli.command {
        Command::Up(options) => Ok(up::run(common, options, printer).await),
        Command::Down(options) => Ok(down::run(common, options, printer).await),
        Command::Plan(options) => session::watch(plan::run(common, options, printer)).await,
        Command::Status => session::watch(status::run(common, printer)).await,
        Command::Verify(options) => session::watch(verify::run(common, options, printer)).await,
        // A helm that renders is told to end, too.
        Command::Check(options) => session::watch(Box::pin(check::run(common, options, printer))).await,
        Command::Render(options) => render::run(common, options, printer),
        Command::Eject(options) => eject::run(common, options, printer),
        Command::Credentials(options) if options.rotate => Ok(rotate::run(common, options, printer).await),
        Command::Credentials(options) => session::watch(credentials::run(common, options, printer)).await,
        Command::Completions(options) => completions::run(options, printer),
    }
}

/// One thread is as fast as more for what is nearly all waiting, and starts sooner.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the async runtime")
}

fn options(common: &Common) -> Options {
    let output = match common.output {
        cli::Output::Human => Output::Human,
        cli::Output::Plain => Output::Plain,
        cli::Output::Json => Output::Json,
    };
    let verbosity = match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    Options { output, verbosity }
}

fn color(common: &Common) -> Color {
    match common.color {
        cli::Color::Auto => Color::Auto,
        cli::Color::Always => Color::Always,
        cli::Color::Never => Color::Never,
    }
}

impl Steps {
    fn selection(&self) -> Selection {
        Selection { only: self.only.clone(), skip: self.skip.clone() }
    }
}

impl Wanted {
    /// How the engine is to go about it on a cluster.
    fn engine_options(&self, identity: &Identity) -> engine::Options {
        engine::Options {
            storage_class: self.storage_class.clone(),
            charts: self.charts.clone(),
            is_local: identity.is_local(),
            leave: Leave { adopt: self.adopt, force_conflicts: self.force_conflicts },
            prune: self.steps.only.is_empty() && self.steps.skip.is_empty(),
            values: Values::Kept,
        }
    }
}

fn target(common: &Common) -> Target {
    Target {
        kubeconfig: common.kubeconfig.clone(),
        context: common.context.clone(),
        stack: common.stack.clone(),
    }
}

/// Connects to the cluster, finds out which it is, and works on it; the hint of what goes wrong can be pasted.
async fn on_cluster<T, E: Hinted>(
    common: &Common,
    work: impl AsyncFnOnce(&Cluster, &Identity) -> Result<T, E>,
) -> Result<T, E> {
    let target = target(common);
    let cluster = Cluster::connect(&target).await.map_err(|error| error.naming(&target))?;
    let work = async {
        let identity = preflight::reach(&cluster).await?;
        work(&cluster, &identity).await
    };
    work.await.map_err(|error| error.naming(cluster.target()))
}

/// An error that may have a hint.
trait Hinted: From<Error> {
    /// The same with cluster and stack named in the commands of its hint.
    fn naming(self, target: &Target) -> Self;
}

impl Hinted for Error {
    fn naming(self, target: &Target) -> Self {
        self.map_hint(|hint| target.name_in(hint))
    }
}

impl Hinted for anyhow::Error {
    fn naming(self, target: &Target) -> Self {
        match self.downcast::<Error>() {
            Ok(error) => error.naming(target).into(),
            Err(other) => other,
        }
    }
}

fn stack(common: &Common) -> Result<Stack, Error> {
    common.stack.as_deref().map_or_else(Stack::embedded, Stack::load)
}
