//! `bootstrap completions`.

use clap::CommandFactory as _;

use crate::cli::{Cli, Completions};
use crate::error::Exit;
use crate::report::Printer;

pub(super) fn run(options: &Completions, printer: &Printer) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "bootstrap", &mut script);
    printer.data(&String::from_utf8(script)?)?;
    Ok(Exit::Success)
}
