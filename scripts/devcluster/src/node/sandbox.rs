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

use crate::node::Node;
use crate::node::layout::{INSIDE, Layout};
use crate::process::last_lines;

const INIT: &str = include_str!("../../node/init.sh");
/// Its name in the state folder; by it the first process is known.
const SCRIPT: &str = "init.sh";
/// The kernel has thousands of files to close at most.
const END_DEADLINE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Starts the first process, which outlives the caller, and waits until its namespaces stand.
pub(crate) fn start(node: &Node) -> Result<Pid> {
    let layout = &node.layout;
    fs::write(layout.path(SCRIPT), INIT)?;
    let log = File::create(layout.path("log/init.log"))?;
    let mut child = Command::new("setsid")
        .args(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private", "sh"])
        .arg(layout.path(SCRIPT))
        .arg(layout.root())
        .arg(&node.name)
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

/// Finds the folder of another cluster that runs under the same name: its link and cgroups are called alike.
pub(crate) fn namesake(cluster: &Path) -> Result<Option<PathBuf>> {
    let folders = all()?.into_iter().filter_map(|(_, script)| script.ancestors().nth(3).map(Path::to_owned));
    Ok(folders.filter(|folder| folder != cluster).find(|folder| folder.file_name() == cluster.file_name()))
}

/// Tells whether any node of a cluster runs.
pub(crate) fn any(cluster: &Path) -> Result<bool> {
    Ok(all()?.into_iter().any(|(_, script)| script.starts_with(cluster)))
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

/// Kills the first processes of all nodes of a cluster and waits until the kernel has ended all others.
pub(crate) fn stop(cluster: &Path) -> Result<()> {
    let mut handles = Vec::new();
    for (pid, script) in all()?.into_iter().filter(|(_, script)| script.starts_with(cluster)) {
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // The handle cannot come to mean another process; looked at once more, neither can what it was opened for.
        let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
        if self::script(&process) == Some(script) {
            pidfd_send_signal(&handle, Signal::KILL).context("failed to end the node")?;
            handles.push(handle);
        }
    }
    for handle in &handles {
        if poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&END_DEADLINE))? == 0 {
            bail!("the cluster's processes did not end within {} s", END_DEADLINE.tv_sec);
        }
    }
    Ok(())
}

/// Sends a signal to a node's own program of this name, never to one in a pod.
pub(crate) fn signal(node: &Node, program: &str, signal: Signal) -> Result<()> {
    let init = find(&node.layout)?.with_context(|| format!("{} does not run", node.name))?;
    let namespace = |pid: Pid| fs::read_link(format!("/proc/{}/ns/pid", pid.as_raw_nonzero())).ok();
    let home = namespace(init).with_context(|| format!("{} has just ended", node.name))?;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // Held before it is looked at, so that it is the one that was looked at.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        let name = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == program.as_bytes() && namespace(pid).as_ref() == Some(&home) {
            return pidfd_send_signal(&handle, signal)
                .with_context(|| format!("failed to send {signal:?} to {program} of {}", node.name));
        }
    }
    bail!("{program} does not run on {}", node.name)
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
