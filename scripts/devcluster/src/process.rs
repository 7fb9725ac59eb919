//! Running programs: one at a time for its output, or several that must not outlive their owner.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// Lines of a failed program's output that its error repeats.
const LAST_LINES: usize = 15;

/// Runs a program to its end and gives its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to start {name}"))?;
    check(&name, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check(name: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    bail!("{name} failed ({}): {}", output.status, last_lines(&stderr))
}

/// The end of a program's output: where it says why it stopped.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Programs that end with their owner, however it ends.
///
/// They join the process group of a watchdog, which holds the read end of a pipe. The kernel closes the other end when
/// the owner is gone, for whatever reason; then the watchdog ends the group and removes the folder.
pub struct Group {
    watchdog: Child,
    _pipe: ChildStdin,
    members: Vec<(&'static str, Child)>,
}

/// `setsid` leads out of the group, so that the one who ends it lives on to clean up.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
cat > /dev/null
exec setsid sh -c 'kill -s KILL -- "-$1"; until rm -rf -- "$2"; do sleep 0.1; done' cleaner "$$" "$1"
"#;

impl Group {
    /// Starts the watchdog, which owns `folder` from now on.
    ///
    /// # Errors
    /// When there is no `sh`.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "devcluster-watchdog"])
            .arg(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start the watchdog")?;
        let pipe = watchdog.stdin.take().context("the watchdog has no pipe")?;
        Ok(Self { watchdog, _pipe: pipe, members: Vec::new() })
    }

    /// Starts a member, its output in a log file.
    ///
    /// # Errors
    /// When the log cannot be written or the program cannot be started.
    pub fn spawn(&mut self, name: &'static str, command: &mut Command, log: &Path) -> Result<()> {
        let log = File::create(log)?;
        let child = command
            .process_group(self.id().as_raw_nonzero().get())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        self.members.push((name, child));
        Ok(())
    }

    /// Kills a member and waits until it is gone; it may be started again.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be killed.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let place = self.members.iter().position(|(member, _)| *member == name);
        let (_, mut child) = self.members.remove(place.with_context(|| format!("{name} does not run"))?);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Names a member that has ended, if one has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> io::Result<Option<(&'static str, ExitStatus)>> {
        for (name, child) in &mut self.members {
            if let Some(status) = child.try_wait()? {
                return Ok(Some((name, status)));
            }
        }
        Ok(None)
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.watchdog)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The watchdog is the group's leader and not yet waited for: the number cannot be another's.
        let _ = kill_process_group(self.id(), Signal::KILL);
        for child in self.members.iter_mut().map(|(_, child)| child).chain([&mut self.watchdog]) {
            drop(child.wait());
        }
    }
}
