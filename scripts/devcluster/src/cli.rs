//! The command line of `devcluster`: what can be asked for, and how the answer is printed.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use devcluster::{ControlPlane, Options, Progress, Tool};

/// A real Kubernetes on one Linux machine, without Docker.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
            Self::ControlPlane { controllers } => control_plane(controllers),
            Self::Tool { tool } => print(&devcluster::tool(tool)?.display().to_string()),
        }
    }
}

fn parse_tool(name: &str) -> Result<Tool, String> {
    Tool::ALL
        .into_iter()
        .find(|tool| tool.name() == name)
        .ok_or_else(|| {
            let names: Vec<_> = Tool::ALL.iter().map(|tool| tool.name()).collect();
            format!("known are {}", names.join(", "))
        })
}

fn control_plane(controllers: bool) -> Result<()> {
    let plane = ControlPlane::start_with(&Options {
        controllers,
        ..Options::default()
    })?;
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
