//! Carries checks out: side by side as far as their needs allow, and told in their own order, so that the first failure
//! that is read is the one that owns the fault. Knows nothing of what the checks ask.

use std::cell::RefCell;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout_at};

use super::check::{Check, Name, Reason, Trouble, Verdict};
use crate::finding::{Finding, Outcome};

/// The pause after the first try; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is told while checks run.
#[derive(Debug)]
pub enum News<'a> {
    /// A check and all before it are decided.
    Found(&'a Finding),
    /// The check that is to be told next waits for something, which was not told yet.
    Waiting {
        /// The check, as `category/id`.
        check: String,
        /// What it waits for.
        reason: &'a str,
    },
}

/// How a check stands.
enum State {
    Open,
    Running,
    Decided(Finding, Rooted),
}

/// Which check is to blame that one has not passed; `None` when those that need it may go on.
type Rooted = Option<Name>;

/// Runs the checks until each is decided, at the latest at the deadline.
pub(super) async fn run(checks: &[Check], deadline: Instant, tell: &mut dyn FnMut(News<'_>)) -> Vec<Finding> {
    let mut states: Vec<State> = checks.iter().map(|_| State::Open).collect();
    let waiting: RefCell<Vec<Option<String>>> = RefCell::new(vec![None; checks.len()]);
    let (wake, mut woken) = unbounded_channel();
    let mut running = FuturesUnordered::new();
    let mut shown = 0;
    let mut last_shown: Option<(usize, String)> = None;
    loop {
        for (place, check) in checks.iter().enumerate() {
            if matches!(states[place], State::Open) {
                match missing(checks, &states, check) {
                    Need::Undecided => {}
                    Need::Met => {
                        states[place] = State::Running;
                        let note = Note { place, waiting: &waiting, wake: wake.clone() };
                        running.push(async move { (place, decide(check, deadline, note).await) });
                    }
                    Need::Unmet(root) => {
                        let why = format!("needs {root}");
                        let Name { category, id } = check.name;
                        states[place] = State::Decided(Finding::skipped(category, id, why), Some(root));
                    }
                }
            }
        }
        while let Some(State::Decided(finding, _)) = states.get(shown) {
            tell(News::Found(finding));
            shown += 1;
        }
        let Some(next) = checks.get(shown) else { break };
        if let Some(reason) = &waiting.borrow()[shown]
            && Instant::now() + LONGEST_PAUSE < deadline
            && last_shown.as_ref().is_none_or(|(place, said)| *place != shown || is_news(said, reason))
        {
            tell(News::Waiting { check: next.name.to_string(), reason });
            last_shown = Some((shown, reason.clone()));
        }
        tokio::select! {
            Some((place, (finding, root))) = running.next() => states[place] = State::Decided(finding, root),
            Some(()) = woken.recv() => {}
        }
    }
    let findings = states.into_iter().filter_map(|state| match state {
        State::Decided(finding, _) => Some(finding),
        State::Open | State::Running => None,
    });
    findings.collect()
}

/// Where a running check writes down what it waits for.
struct Note<'a> {
    place: usize,
    waiting: &'a RefCell<Vec<Option<String>>>,
    wake: UnboundedSender<()>,
}

impl Note<'_> {
    fn waits_for(&self, reason: &str) {
        self.waiting.borrow_mut()[self.place] = Some(reason.to_owned());
        // Nobody listens any more once all is decided.
        let _ = self.wake.send(());
    }
}

/// Whether what a check needs is there.
enum Need {
    Met,
    Undecided,
    Unmet(Name),
}

fn missing(checks: &[Check], states: &[State], check: &Check) -> Need {
    let mut undecided = false;
    for (other, state) in checks.iter().zip(states) {
        if check.needs.contains(&other.name) {
            match state {
                State::Decided(_, None) => {}
                State::Decided(_, Some(root)) => return Need::Unmet(*root),
                State::Open | State::Running => undecided = true,
            }
        }
    }
    if undecided { Need::Undecided } else { Need::Met }
}

/// Tries until the check passes, fails or time is out.
async fn decide(check: &Check, deadline: Instant, note: Note<'_>) -> (Finding, Rooted) {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last = Reason { message: format!("no answer from {}", check.asked.name), hint: None };
    loop {
        let Ok(verdict) = timeout_at(deadline, check.attempt()).await else { break };
        match verdict {
            Err(Trouble::Pending(reason)) => {
                note.waits_for(&reason.message);
                last = reason;
            }
            verdict => return settled(check, verdict),
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    last.message = format!("after {} s: {}", began.elapsed().as_secs(), last.message);
    settled(check, Err(Trouble::Failed(last)))
}

fn settled(check: &Check, verdict: Verdict) -> (Finding, Rooted) {
    let Name { category, id } = check.name;
    match verdict {
        Ok(message) => (Finding::passed(category, id, message), None),
        Err(Trouble::Skipped(why)) => (Finding::skipped(category, id, why), None),
        Err(Trouble::Failed(reason) | Trouble::Pending(reason)) => {
            let Reason { message, hint } = reason;
            let hint = Some(hint.unwrap_or_else(|| check.asked.hint.clone()));
            let finding = Finding { category, id: id.into(), outcome: Outcome::Failed, message, hint };
            (finding, Some(check.name))
        }
    }
}

/// Tells whether a reason says something new: ports, counts and times alone are none.
fn is_news(before: &str, now: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    words(before) != words(now)
}
