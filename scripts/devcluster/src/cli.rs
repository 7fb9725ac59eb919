//! The command line of `devcluster`: what can be asked for, and how the answer is printed.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use devcluster::{Cluster, ControlPlane, Options, Progress, Source, Status, Tool};

/// A real Kubernetes on one Linux machine, without Docker.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings a whole cluster up, or leaves one that works as it is; needs root
    Up {
        #[command(flatten)]
        place: Place,
        /// Machines of the cluster, each with a kubelet, containerd and network of its own [default: 1]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=Cluster::MOST_NODES.into()))]
        nodes: Option<u8>,
    },
    /// Installs and builds what `up` needs, once per machine
    Prepare {
        /// Builds what `load --build-images` needs as well
        #[arg(long)]
        build_images: bool,
    },
    /// Takes the cluster away, with everything that belongs to it
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Says whether the cluster works; ends 0 if it does
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Loads images into every node: pulled where a registry answers, else a stand-in for each
    Load {
        #[command(flatten)]
        place: Place,
        /// Image references
        #[arg(value_name = "IMAGE", required_unless_present = "stack")]
        images: Vec<String>,
        /// Loads every image that the manifests and Helm values in a folder name
        #[arg(long, value_name = "DIR", conflicts_with = "images")]
        stack: Option<PathBuf>,
        #[command(flatten)]
        making: Making,
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

/// How images are made where none is to be pulled.
#[derive(Args)]
#[group(multiple = false)]
struct Making {
    /// Asks no registry: builds the real programs from their Go modules, and makes stand-ins for the others
    #[arg(long)]
    build_images: bool,
    /// Asks no registry: every image becomes a stand-in
    #[arg(long)]
    stand_ins: bool,
}

impl Making {
    fn source(&self) -> Source {
        match self {
            Self { build_images: true, .. } => Source::Built,
            Self { stand_ins: true, .. } => Source::StandIn,
            _ => Source::default(),
        }
    }
}

/// Which cluster.
#[derive(Args)]
struct Place {
    /// Name of the cluster and of its context
    #[arg(long, default_value = Cluster::NAME)]
    name: String,
    /// The folder that clusters lie in
    #[arg(long, value_name = "DIR", default_value = Cluster::STATE)]
    state_dir: PathBuf,
}

impl Place {
    fn cluster(&self) -> Result<Cluster> {
        Cluster::new(&self.name, &self.state_dir, Progress::stderr())
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
            Self::Up { place, nodes } => match nodes {
                Some(count) => place.cluster()?.with_nodes(count)?.up(),
                None => place.cluster()?.up(),
            },
            Self::Prepare { build_images } => {
                let source = if build_images { Source::Built } else { Source::default() };
                Cluster::new(Cluster::NAME, Path::new(Cluster::STATE), Progress::stderr())?.prepare(source)
            }
            Self::Down { place } => place.cluster()?.down(),
            Self::Status { place } => status(&place),
            Self::Load { place, images, stack, making } => match stack {
                Some(folder) => place.cluster()?.load_stack(&folder, making.source()),
                None => place.cluster()?.load(&images, making.source()),
            },
            Self::ControlPlane { controllers } => control_plane(controllers),
            Self::Tool { tool } => print(&devcluster::tool(tool)?.display().to_string()),
        }
    }
}

fn status(place: &Place) -> Result<()> {
    match place.cluster()?.status()? {
        Status::Ready(nodes) => print(&format!("{} is up: {}", place.name, nodes.join(", "))),
        Status::Broken(why) => bail!("{} is there but does not work: {why}", place.name),
        Status::Absent => bail!("{} is not up", place.name),
    }
}

fn parse_tool(name: &str) -> Result<Tool, String> {
    Tool::ALL.iter().copied().find(|tool| tool.name() == name).ok_or_else(|| {
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
