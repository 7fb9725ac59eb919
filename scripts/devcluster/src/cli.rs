//! The command line of `devcluster`: what can be asked for, and how the answer is printed.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use devcluster::{ControlPlane, Node, Options, Progress, Source, Status, Tool};

/// A real Kubernetes on one Linux machine, without Docker.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings a whole node up, or leaves one that works as it is; needs root
    Up {
        #[command(flatten)]
        place: Place,
    },
    /// Installs and builds what `up` needs, once per machine
    Prepare,
    /// Takes the node away, with everything that belongs to it
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Says whether the node works; ends 0 if it does
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Loads images into the node: pulled where a registry answers, else a stand-in for each
    Load {
        #[command(flatten)]
        place: Place,
        /// Image references
        #[arg(value_name = "IMAGE", required_unless_present = "stack")]
        images: Vec<String>,
        /// Loads every image that the manifests and Helm values in a folder name
        #[arg(long, value_name = "DIR", conflicts_with = "images")]
        stack: Option<PathBuf>,
        /// Asks no registry: every image becomes a stand-in
        #[arg(long)]
        stand_ins: bool,
    },
    /// Runs etcd and an API server on loopback until interrupted; needs no root
    ControlPlane {
        /// Runs the controller manager and the scheduler as well
        #[arg(long)]
        controllers: bool,
    },
    /// Prints the path of a program, built first if need be
    Tool {
        #[arg(value_name = "NAME", value_parser = parse_tool)]
        tool: Tool,
    },
}

/// Which node.
#[derive(Args)]
struct Place {
    /// Name of the node and of its context
    #[arg(long, default_value = Node::NAME)]
    name: String,
    /// The folder that nodes lie in
    #[arg(long, value_name = "DIR", default_value = Node::STATE)]
    state_dir: PathBuf,
}

impl Place {
    fn node(&self) -> Result<Node> {
        Node::new(&self.name, &self.state_dir, Progress::stderr())
    }
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        match self.command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                Progress::stderr().say(format!("error: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Self::Up { place } => place.node()?.up(),
            Self::Prepare => Node::new(Node::NAME, Path::new(Node::STATE), Progress::stderr())?.prepare(),
            Self::Down { place } => place.node()?.down(),
            Self::Status { place } => status(&place),
            Self::Load { place, images, stack, stand_ins } => {
                let source = if stand_ins { Source::StandIn } else { Source::default() };
                match stack {
                    Some(folder) => place.node()?.load_stack(&folder, source),
                    None => place.node()?.load(&images, source),
                }
            }
            Self::ControlPlane { controllers } => control_plane(controllers),
            Self::Tool { tool } => print(&devcluster::tool(tool)?.display().to_string()),
        }
    }
}

fn status(place: &Place) -> Result<()> {
    match place.node()?.status()? {
        Status::Ready => print(&format!("{} is up", place.name)),
        Status::Broken => bail!("{} is there but does not work", place.name),
        Status::Absent => bail!("{} is not up", place.name),
    }
}

fn parse_tool(name: &str) -> Result<Tool, String> {
    Tool::ALL.into_iter().find(|tool| tool.name() == name).ok_or_else(|| {
        let names: Vec<_> = Tool::ALL.iter().map(|tool| tool.name()).collect();
        format!("known are {}", names.join(", "))
    })
}

fn control_plane(controllers: bool) -> Result<()> {
    let plane = ControlPlane::start_with(&Options { controllers, ..Options::default() })?;
    print(&plane.kubeconfig().display().to_string())?;
    loop {
        // A signal ends this process, and its watchdog the rest.
        std::thread::park();
    }
}

/// Writes to standard output what was asked for.
fn print(line: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}
