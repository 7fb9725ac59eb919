//! What `sandbox` is on a system without namespaces: nothing runs there, and nothing can be started.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal};

use crate::node::Node;
use crate::node::layout::Layout;

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn find(_: &Layout) -> Result<Option<Pid>> {
    Ok(None)
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn any(_: &Path) -> Result<bool> {
    Ok(false)
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn namesake(_: &Path) -> Result<Option<PathBuf>> {
    Ok(None)
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Linux")]
pub(crate) fn stop(_: &Path) -> Result<()> {
    Ok(())
}

pub(crate) fn start(_: &Node) -> Result<Pid> {
    bail!("a node needs Linux' namespaces")
}

pub(crate) fn signal(node: &Node, _: &str, _: Signal) -> Result<()> {
    bail!("{} does not run", node.name)
}
