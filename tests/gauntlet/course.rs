//! How a run of a case went, and whether that is as it has to be. Decides only; the running is done elsewhere.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use crate::case::{Case, is_ready};
use crate::watch::Seen;

/// How soon after its sign a cause that waiting cannot mend must have ended the step, in seconds.
const PROMPT: f64 = 10.0;

/// How much before its sign: the watch is another program, and on a busy machine is told seconds later than `up`.
const EARLY: f64 = -5.0;

/// What tells the user how it ended, and why.
const TELLING: &[&str] = &["diagnosed", "step_failed", "steps_left", "warning", "run_finished"];

/// How a run of a case went.
#[derive(Default)]
pub(crate) struct Course {
    /// When the sign was seen.
    pub(crate) sign: Option<Instant>,
    /// When another pair of hands began to do something about it.
    pub(crate) lent: Option<Instant>,
    /// When the last of the case's Deployments became ready.
    pub(crate) ready: Option<Instant>,
    /// When `up` said that something has failed, or that all is well.
    pub(crate) verdict: Option<Instant>,
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What `up` wrote to stdout.
    pub(crate) events: Vec<Value>,
    /// What it wrote to stderr.
    pub(crate) errors: String,
    ready_deployments: BTreeSet<String>,
    was_stopped: bool,
}

/// All that is not as the table has it.
pub(crate) struct Wrongs {
    /// What nothing excuses.
    pub(crate) grave: Vec<String>,
    /// What a busy machine may have done: it is seen whether it comes again without one.
    pub(crate) of_time: Vec<String>,
}

impl Course {
    /// Takes note of a state of an object.
    pub(crate) fn see(&mut self, seen: &Seen) {
        let object = &seen.object;
        if object["kind"] != "Deployment" {
            return;
        }
        let name = object["metadata"]["name"].to_string();
        if !is_ready(object) {
            self.ready_deployments.remove(&name);
        } else if self.ready_deployments.insert(name) {
            self.ready = Some(seen.at);
        }
    }

    /// Takes note of a line that `up` has written to stdout.
    pub(crate) fn hear(&mut self, at: Instant, line: String) {
        let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
        // When it is told to stop, what it says is no verdict.
        if event["event"] == "stopping" {
            self.was_stopped = true;
        } else if is_verdict(&event) && !self.was_stopped {
            self.verdict.get_or_insert(at);
        }
        self.events.push(event);
    }

    /// Seconds to the verdict, which may have been before: from the sign, or where all has to be well from the last
    /// Deployment's becoming ready.
    pub(crate) fn to_verdict(&self, case: &Case) -> Option<f64> {
        let begin = if case.exit == 0 { self.ready? } else { self.sign? };
        let between = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        self.verdict.map(|verdict| between(begin, verdict) - between(verdict, begin))
    }

    /// Compares it with the table.
    pub(crate) fn wrongs(&self, case: &Case) -> Wrongs {
        let (mut grave, mut of_time) = (Vec::new(), Vec::new());
        if self.code != Some(case.exit.into()) {
            let ended = self.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
            grave.push(format!("it ended {ended}, not {}", case.exit));
        }
        if case.needs_sign() && self.sign.is_none() {
            grave.push("its sign was never seen".into());
        }
        if case.exit == 5 {
            match self.to_verdict(case) {
                Some(seconds) if (EARLY..=PROMPT).contains(&seconds) => {}
                Some(seconds) => of_time.push(format!("the verdict came {seconds:.1} s after the sign")),
                None => grave.push("there was no verdict".into()),
            }
        }
        if case.hands.wait_for_sign() && !self.was_lent() {
            of_time.push("it ended before a hand was lent".into());
        }
        if let Some(step) = case.ready
            && !self.events.iter().any(|event| event["event"] == "step_finished" && event["step"] == step)
        {
            of_time.push(format!("step {step} was never ready"));
        }
        if case.exit == 0 && self.named("step_failed").is_some() {
            grave.push("a step failed on the way".into());
        }
        let told = self.told();
        let missing = case.words.iter().filter(|words| !told.contains(**words));
        grave.extend(missing.map(|words| format!("it never told: {words}")));
        Wrongs { grave, of_time }
    }

    /// Tells whether `up` had not come to its verdict when a hand was lent.
    fn was_lent(&self) -> bool {
        self.lent.is_some_and(|lent| self.verdict.is_none_or(|verdict| lent < verdict))
    }

    /// What `up` told to be the cause, in a line.
    pub(crate) fn cause(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let diagnosed = self.named("diagnosed").map(|diagnosed| match &diagnosed["pods"][0] {
            Value::Null => text(&diagnosed["message"]),
            pod => format!("{}: {}", text(&pod["reason"]), text(&pod["message"])),
        });
        let failed = || {
            let failed = self.named("step_failed")?;
            let innermost = failed["causes"].as_array().and_then(|causes| causes.last());
            Some(text(innermost.unwrap_or(&failed["message"])))
        };
        let warning = || self.named("warning").map(|warning| text(&warning["message"]));
        diagnosed.or_else(failed).or_else(warning).unwrap_or_default().replace('\n', " ")
    }

    /// Everything that `up` has printed.
    pub(crate) fn said(&self) -> String {
        let lines: Vec<_> = self.events.iter().map(|event| format!("{event}\n")).collect();
        lines.concat() + &self.errors
    }

    fn named(&self, name: &str) -> Option<&Value> {
        self.events.iter().find(|event| event["event"] == name)
    }

    /// All texts in the events that tell the user how it ended.
    fn told(&self) -> String {
        let is_telling = |event: &&Value| TELLING.iter().any(|name| event["event"] == *name);
        let mut told = self.errors.clone();
        self.events.iter().filter(is_telling).for_each(|event| gather(event, &mut told));
        told
    }
}

/// Tells whether by an event `up` says that something has failed, or that all is well.
fn is_verdict(event: &Value) -> bool {
    match event["event"].as_str() {
        Some("diagnosed") => event["verdict"] == "doomed",
        Some("step_failed" | "run_finished") => true,
        _ => false,
    }
}

fn gather(value: &Value, into: &mut String) {
    match value {
        Value::String(text) => *into += &format!("{text}\n"),
        Value::Array(values) => values.iter().for_each(|value| gather(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, into)),
        _ => {}
    }
}
