//! What `sandbox` is on a system without namespaces: nothing runs there, and nothing can be started.

use std::path::PathBuf;

use anyhow::{Result, bail};
use rustix::process::Pid;

use crate::node::layout::Layout;

/// What the first process would be told.
#[expect(dead_code, reason = "nobody is there to read it")]
pub(crate) struct Names<'a> {
    pub(crate) node: &'a str,
    pub(crate) address: &'a str,
    pub(crate) gateway: &'a str,
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn find(_: &Layout) -> Result<Option<Pid>> {
    Ok(None)
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn namesake(_: &Layout) -> Result<Option<PathBuf>> {
    Ok(None)
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn stop(_: &Layout) -> Result<()> {
    Ok(())
}

pub(crate) fn start(_: &Layout, _: &Names<'_>) -> Result<Pid> {
    bail!("a node needs Linux' namespaces")
}
