//! The checks of the embedded stack as a whole, and the order in which checks are carried out, with checks that are made up.

use std::cell::{Cell, RefCell};
use std::future::{Ready, ready};
use std::time::Duration;

use kube::Client;
use kube::client::Body;

use super::check::{Asked, Name, Subject, Trouble, Verdict, failed, pending};
use super::*;
use crate::cluster::{Route, Target};
use crate::plan::Selection;
use crate::stack::Stack;

const fn name(id: &'static str) -> Name {
    Name { category: "c", id }
}

/// What each try of a made-up check finds, the last again and again, and how often it was tried.
struct Script {
    verdicts: Vec<Verdict>,
    tries: Cell<usize>,
}

impl Subject for Script {
    fn asked(&self) -> Asked {
        Asked { name: "pod/script".to_owned(), hint: "kubectl logs pod/script".to_owned() }
    }
}

impl Script {
    fn play(&self) -> Ready<Verdict> {
        let place = self.tries.get();
        self.tries.set(place + 1);
        ready(self.verdicts[place.min(self.verdicts.len() - 1)].clone())
    }
}

fn script<const N: usize>(id: &'static str, verdicts: [Result<&str, Trouble>; N]) -> (Check, Rc<Script>) {
    let verdicts = verdicts.into_iter().map(|verdict| verdict.map(str::to_owned)).collect();
    let script = Rc::new(Script { verdicts, tries: Cell::new(0) });
    (Check::new(name(id), &script, Script::play), script)
}

/// Runs checks for a minute, and gives all that was told.
async fn told(checks: &[Check]) -> Vec<String> {
    let told = RefCell::new(Vec::new());
    let deadline = Instant::now() + Duration::from_mins(1);
    run::run(checks, deadline, &mut |news| {
        told.borrow_mut().push(match news {
            News::Found(finding) => format!("{} {:?}: {}", finding.id, finding.outcome, finding.message),
            News::Waiting { check, reason } => format!("{check} waits: {reason}"),
        });
    })
    .await;
    told.into_inner()
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_tried_again_and_told_once_for_each_reason() {
    let waits = |why: &str| Err(pending(why));
    let (first, script) = script("a", [waits("port 1"), waits("port 2"), waits("a pod"), Ok("well")]);
    assert_eq!(told(&[first]).await, ["c/a waits: port 1", "c/a waits: a pod", "a Passed: well"]);
    assert_eq!(script.tries.get(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_is_tried_once_and_its_dependants_never() {
    let (first, tries) = script("a", [Err(failed("wrong").hint("mend it"))]);
    let (second, none) = script("b", [Ok("well")]);
    let (third, _) = script("c", [Ok("well")]);
    let (fourth, _) = script("d", [Ok("well")]);
    let checks = [first, second.needs([name("a")]), third.needs([name("b")]), fourth];
    assert_eq!(
        told(&checks).await,
        ["a Failed: wrong", "b Skipped: needs c/a", "c Skipped: needs c/a", "d Passed: well"]
    );
    assert_eq!((tries.tries.get(), none.tries.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn time_that_is_out_makes_a_failure_of_what_was_waited_for() {
    let (first, _) = script("a", [Err(pending("no pod"))]);
    let found = told(&[first]).await;
    let last = found.last().expect("a finding");
    assert!(last.starts_with("a Failed: after 5") && last.ends_with(" s: no pod"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_check_took_is_its_own() {
    let (first, _) =
        script("a", [Err(pending("time")), Err(pending("time")), Err(pending("time")), Ok("well")]);
    let (second, _) = script("b", [Err(pending("no pod"))]);
    let found = told(&[first, second.needs([name("a")])]).await;
    let last = found.last().expect("a finding");
    assert!(last.starts_with("b Failed: after 5") && last.ends_with(" s: no pod"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn every_failure_says_what_to_do_and_the_nearest_hint_counts() {
    let (near, _) = script("near", [Err(failed("wrong").hint("mend it"))]);
    let (far, _) = script("far", [Err(failed("wrong"))]);
    let (late, _) = script("late", [Err(pending("no pod"))]);
    let (other, _) = script("other", [Err(failed("wrong"))]);
    let (_, subject) = script("silent", [Ok("never")]);
    let silent = Check::new(name("silent"), &subject, async |_| std::future::pending().await);
    let checks = [near, far, late, other.hint("bootstrap up"), silent];
    let deadline = Instant::now() + Duration::from_mins(1);
    let found = run::run(&checks, deadline, &mut |_| {}).await;
    assert!(found.iter().all(|finding| finding.outcome == Outcome::Failed), "{found:?}");
    let hints: Vec<_> = found.iter().map(|finding| finding.hint.as_deref().unwrap_or("none")).collect();
    let log = "kubectl logs pod/script";
    assert_eq!(hints, ["mend it", log, log, "bootstrap up", log]);
    assert_eq!(found[4].message, "after 60 s: no answer from pod/script");
}

#[tokio::test(start_paused = true)]
async fn findings_are_told_in_order_though_the_later_are_there_before() {
    let (slow, _) = script("slow", [Err(pending("time")), Ok("well")]);
    let (quick, _) = script("quick", [Ok("well")]);
    assert_eq!(told(&[slow, quick]).await, ["c/slow waits: time", "slow Passed: well", "quick Passed: well"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_no_hindrance() {
    let (first, _) = script("a", [Err(Trouble::Skipped("no right to list pods".to_owned()))]);
    let (second, _) = script("b", [Ok("well")]);
    let checks = [first, second.needs([name("a"), name("not there")])];
    assert_eq!(told(&checks).await, ["a Skipped: no right to list pods", "b Passed: well"]);
}

/// A cluster that never answers.
fn nowhere() -> Cluster {
    let (service, _) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    Cluster::with_client(Client::new(service, "default"), Target::default(), Route::OwnAccount)
}

#[tokio::test]
async fn the_embedded_stack_is_verified_in_an_order_in_which_needs_come_first() {
    let plan = Plan::new(&Stack::embedded().expect("valid"), &Selection::default()).expect("a plan");
    let (checks, _) = checks(&nowhere(), &plan);
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    for (place, check) in checks.iter().enumerate() {
        for need in &check.needs {
            let before = names.iter().position(|name| name == need);
            assert!(before.is_some_and(|before| before < place), "{} needs {need}", check.name);
        }
    }
    let lines: Vec<_> = checks
        .iter()
        .map(|Check { name, asked, .. }| format!("{name} asks {}, hint: {}", asked.name, asked.hint))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn what_a_stack_does_not_bring_is_not_checked() {
    let mut plan = Plan::new(&Stack::embedded().expect("valid"), &Selection::default()).expect("a plan");
    for step in ["alloy", "loki", "kube-state-metrics", "prometheus-adapter", "grafana", "ingress"] {
        plan.leave_out(step);
    }
    let categories: BTreeSet<_> =
        checks(&nowhere(), &plan).0.iter().map(|check| check.name.category).collect();
    assert_eq!(categories, ["prometheus"].into());
    plan.leave_out("prometheus");
    let mut tell = |_: News<'_>| {};
    let error = super::run(&nowhere(), &plan, Instant::now(), &mut tell).await.expect_err("nothing");
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(error.to_string(), "the stack observability has nothing that can be verified");
}
