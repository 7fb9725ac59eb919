//! The namespaces that a node lives in, held by its first process.
//! That process is found by what it is, the first of its namespace and running our script, never by a number written
//! down: a number may be another's by the time it is read.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::node::layout::{INSIDE, Layout};
use crate::process::last_lines;

const INIT: &str = include_str!("../../node/init.sh");
/// Its name in the state folder; by it the first process is known.
const SCRIPT: &str = "init.sh";
/// The kernel has thousands of files to close at most.
const END_DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// What the first process is told.
pub(crate) struct Names<'a> {
    pub(crate) node: &'a str,
    pub(crate) address: &'a str,
    pub(crate) gateway: &'a str,
}

/// Starts the first process, which outlives the caller, and waits until its namespaces stand.
pub(crate) fn start(layout: &Layout, names: &Names<'_>) -> Result<Pid> {
    fs::write(layout.path(SCRIPT), INIT)?;
    let log = File::create(layout.path("log/init.log"))?;
    let mut child = Command::new("setsid")
        .args(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private", "sh"])
        .arg(layout.path(SCRIPT))
        .arg(layout.root())
        .args([names.node, names.address, names.gateway])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", INSIDE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("failed to start setsid")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
    match find(layout)? {
        Some(pid) if line == "started\n" => Ok(pid),
        _ => {
            let log = fs::read_to_string(layout.path("log/init.log")).unwrap_or_default();
            bail!("failed to make the node's namespaces ({}): {}", child.wait()?, last_lines(&log))
        }
    }
}

/// Finds the first process of a node that runs.
pub(crate) fn find(layout: &Layout) -> Result<Option<Pid>> {
    Ok(all()?.into_iter().find(|(_, script)| *script == layout.path(SCRIPT)).map(|(pid, _)| pid))
}

/// Finds the folder of another node that runs under the same name: its link and cgroups are called alike.
pub(crate) fn namesake(layout: &Layout) -> Result<Option<PathBuf>> {
    let folders = all()?.into_iter().filter_map(|(_, script)| script.parent().map(Path::to_owned));
    let name = layout.root().file_name();
    Ok(folders.filter(|folder| folder != layout.root()).find(|folder| folder.file_name() == name))
}

/// The first processes of all nodes, each with the script that it runs.
fn all() -> Result<Vec<(Pid, PathBuf)>> {
    let processes = fs::read_dir("/proc")?.filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        Some((pid, script(&entry.path())?))
    });
    Ok(processes.collect())
}

/// Kills the first process of a node and waits until the kernel has ended all others.
pub(crate) fn stop(layout: &Layout) -> Result<()> {
    let Some(pid) = find(layout)? else { return Ok(()) };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    // The handle cannot come to mean another process; looked at once more, neither can what it was opened for.
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    if script(&process) != Some(layout.path(SCRIPT)) {
        return Ok(());
    }
    pidfd_send_signal(&handle, Signal::KILL).context("failed to end the node")?;
    if poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&END_DEADLINE))? == 0 {
        bail!("the node's processes did not end within {} s", END_DEADLINE.tv_sec);
    }
    Ok(())
}

/// Gives the script that a process runs, if it is the first process of a node.
fn script(process: &Path) -> Option<PathBuf> {
    let arguments = fs::read(process.join("cmdline")).ok()?;
    let mut arguments = arguments.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let (shell, script, folder) = (arguments.next()?, Path::new(arguments.next()?), arguments.next()?);
    if shell != "sh" || !script.ends_with(SCRIPT) || script.parent() != Some(Path::new(folder)) {
        return None;
    }
    // Its number within its own namespace comes last.
    let status = fs::read_to_string(process.join("status")).ok()?;
    let ids: Vec<_> =
        status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().collect();
    (ids.len() > 1 && ids.last() == Some(&"1")).then(|| script.to_owned())
}
