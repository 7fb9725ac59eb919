//! Who holds a lease: how a person is told, and how a run on the same machine can be known to be dead at once.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use jiff::{SignedDuration, SpanRound, Timestamp, Unit};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::object::Object;

/// The annotation of a lease that tells the holder from every other run.
const RUN: &str = "bootstrap.internal/run";

/// The annotation of a lease that names the holder's process in a way that no other process ever has.
const PROCESS: &str = "bootstrap.internal/process";

/// How long after its last renewal a lease is known to be abandoned without watching it.
const SILENCE: SignedDuration = SignedDuration::from_mins(2);

/// How many letters and digits no other run has by chance.
const ID_LENGTH: usize = 20;

/// A run, as a lease names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How a person is told. Another's may read the same: containers can share the host's name, and a pid.
    identity: String,
    /// Random; a lease that this program has not made has none.
    id: Option<String>,
}

impl Run {
    /// This one.
    pub(super) fn new(command: &str) -> Self {
        let id = rand::rng().sample_iter(Alphanumeric).take(ID_LENGTH).map(char::from).collect();
        Self { identity: identity(command), id: Some(id) }
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// What a lease carries that this process holds for the run.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let all = [(RUN, self.id.clone()), (PROCESS, process())];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Who holds a lease, and since when.
pub(super) struct Holder {
    pub(super) run: Run,
    since: Option<Timestamp>,
    renewed: Option<Timestamp>,
    process: Option<String>,
}

impl Holder {
    pub(super) fn of(lease: &Object) -> Self {
        let spec = &lease.data["spec"];
        let moment = |field: &str| spec[field].as_str().and_then(|text| text.parse().ok());
        let annotation = |name: &str| lease.metadata.annotations.as_ref()?.get(name).cloned();
        let identity = spec["holderIdentity"].as_str().unwrap_or_default().to_owned();
        Self {
            run: Run { identity, id: annotation(RUN) },
            since: moment("acquireTime"),
            renewed: moment("renewTime"),
            process: annotation(PROCESS),
        }
    }

    /// Tells whether the holder has not renewed the lease for so long that no difference between clocks explains it.
    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) > SILENCE)
    }

    /// Tells whether the holder was a process of this machine that is no more: then there is nobody to wait for.
    pub(super) fn is_dead(&self) -> bool {
        let Some((machine, process)) = self.process.as_deref().and_then(|text| text.rsplit_once(' ')) else {
            return false;
        };
        let Some((pid, started)) = process.split_once('@') else { return false };
        Some(machine) == this_machine().as_deref() && has_ended(pid, started, stat_of(pid).as_deref())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.run.identity)?;
        let Some(since) = self.since else { return Ok(()) };
        let round = SpanRound::new().largest(Unit::Hour).smallest(Unit::Second);
        match Timestamp::now().since(since).and_then(|age| age.round(round)) {
            Ok(age) => write!(f, ", for {age:#}"),
            Err(_) => Ok(()),
        }
    }
}

/// How this run names itself: `bootstrap up of ann@laptop, pid 4242`.
fn identity(command: &str) -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "someone".to_owned());
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| variable("HOSTNAME"));
    let host = host.as_deref().map_or("somewhere", str::trim);
    format!("bootstrap {command} of {user}@{host}, pid {}", std::process::id())
}

/// This process, unlike any other on any machine; `None` where the system does not tell (it is Linux that does).
fn process() -> Option<String> {
    let pid = std::process::id().to_string();
    let stat = stat_of(&pid)?;
    Some(format!("{} {pid}@{}", this_machine()?, start_in(&stat)?))
}

/// This boot of this machine, and within it the set of processes that this one can see.
fn this_machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
}

/// Tells whether a process has ended that had this start. Where nothing can be read of it, it may be another user's that
/// `/proc` hides (`hidepid`): then the kernel knows.
fn has_ended(pid: &str, started: &str, stat: Option<&str>) -> bool {
    let Some(stat) = stat else {
        let pid = pid.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
        return pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
    };
    start_in(stat) != Some(started)
}

fn stat_of(pid: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// When a process started, in clock ticks since the machine did; `None` if it has ended.
fn start_in(stat: &str) -> Option<&str> {
    // The second field is the program's name, which may hold anything, in parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // Killed, and not yet taken note of by its parent.
    if matches!(state, "Z" | "X") { None } else { fields.nth(18) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(process: String) -> Holder {
        let run = Run { identity: String::new(), id: None };
        Holder { run, since: None, renewed: None, process: Some(process) }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_a_process_of_this_machine_can_be_known_to_be_dead() {
        let me = process().expect("this is Linux");
        assert!(!held_by(me.clone()).is_dead());
        assert!(!held_by(format!("another-{me}")).is_dead());
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let machine = this_machine().expect("this is Linux");
        let gone = format!("{machine} {}@1", child.id());
        child.wait().expect("ended");
        assert!(held_by(gone).is_dead());
        let another_since = format!("{machine} {}@1", std::process::id());
        assert!(held_by(another_since).is_dead());
        assert!(!held_by(String::new()).is_dead());
    }

    #[test]
    fn a_process_that_may_not_be_seen_is_not_dead() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("started");
        let pid = child.id().to_string();
        assert!(!has_ended(&pid, "1", None));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(has_ended(&pid, "1", None));
    }
}
