//! The end of the log of the container that is to blame, without what a terminal would obey.

use tokio::time::timeout;

use super::TIMEOUT;
use crate::cluster::{Cluster, Lines};
use crate::event::{LogExcerpt, PodReason};
use crate::object::{self, ObjectRef};

/// How many lines are shown.
const LINES: i64 = 20;

/// Why a container's log is of use.
const LOGGED: [&str; 5] = ["CrashLoopBackOff", "Error", "OOMKilled", "Unhealthy", "NotReady"];

/// Reads the log that tells most. One that cannot be had, for want of time or of rights, is left out. Secrets are in it yet.
pub(super) async fn excerpt(
    cluster: &Cluster,
    namespace: Option<&str>,
    reasons: &[PodReason],
) -> Option<LogExcerpt> {
    let told = reasons.iter().find(|reason| LOGGED.contains(&reason.reason.as_str()))?;
    let container = told.container.clone()?;
    let pod = ObjectRef::new(&object::POD, namespace, &told.pod);
    let previous = told.reason == "CrashLoopBackOff";
    let lines = Lines { last: LINES, previous, ..Lines::default() };
    let text = timeout(TIMEOUT, cluster.logs(&pod, &container, lines)).await.ok()?.ok()?;
    let lines: Vec<_> = text.lines().map(printable).collect();
    (!lines.is_empty()).then(|| LogExcerpt { pod: told.pod.clone(), container, previous, lines })
}

/// A line without what a terminal would take for a command.
fn printable(line: &str) -> String {
    console::strip_ansi_codes(line).chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_commands_for_a_terminal() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\u{7}\tx"), "red\tx");
    }
}
