//! The namespaces that a node lives in, held by its first process.
//! That process is found by what it is, the first of its namespace and running our script, never by a number written
//! down: a number may be another's by the time it is read.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::node::layout::Layout;
use crate::process::last_lines;

const INIT: &str = include_str!("../../node/init.sh");
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
    fs::write(layout.init(), INIT)?;
    let log = File::create(layout.path("log/init.log"))?;
    let mut child = Command::new("setsid")
        .args(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"])
        .args(["--mount-proc", "--propagation", "private", "sh"])
        .arg(layout.init())
        .arg(layout.root())
        .args([names.node, names.address, names.gateway])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
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
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if is_init(&entry.path(), layout) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Kills the first process of a node and waits until the kernel has ended all others.
pub(crate) fn stop(layout: &Layout) -> Result<()> {
    let Some(pid) = find(layout)? else { return Ok(()) };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    // The handle cannot come to mean another process; looked at once more, neither can what it was opened for.
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    if !is_init(&process, layout) {
        return Ok(());
    }
    pidfd_send_signal(&handle, Signal::KILL).context("failed to end the node")?;
    if poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&END_DEADLINE))? == 0 {
        bail!("the node's processes did not end within {} s", END_DEADLINE.tv_sec);
    }
    Ok(())
}

/// Tells whether a process runs our script as the first of a process namespace.
fn is_init(process: &Path, layout: &Layout) -> bool {
    let Ok(arguments) = fs::read(process.join("cmdline")) else {
        return false;
    };
    let script = layout.init();
    if !arguments.split(|byte| *byte == 0).any(|argument| argument == script.as_os_str().as_encoded_bytes()) {
        return false;
    }
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let ids: Vec<_> = ids.split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}
