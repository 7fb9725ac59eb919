//! The part of a step that is a Helm release: what there is to do, doing it, and what to wait for then.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::select;
use tokio::time::{Instant, sleep, timeout};

use crate::apply::{self, Leave};
use crate::cluster::RequestError;
use crate::diagnose;
use crate::engine::Options;
use crate::engine::run::{Run, tell_of_namespace};
use crate::engine::step::{Done, StepError};
use crate::error::{Error, Exit};
use crate::event::{Change, Events, Kind, ReleaseAction};
use crate::fields;
use crate::helm::{
    self, Chart, Decision, Helm, Record, Refusal, Release, Repair, Seen, Until, Upgrade, Work,
};
use crate::inventory::{Inventory, ReleaseEntry};
use crate::live::Live;
use crate::plan::{Plan, PlannedRelease, PlannedStep};
use crate::wait::Awaited;

/// The pause before helm is started once more for a release; each further one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(15);

/// How long a chart may take before that is worth a word.
const UNREMARKABLE: Duration = Duration::from_secs(3);

/// A release as the stack wants it, and what that means for the one that is there.
pub(super) struct JudgedRelease {
    pub(super) decision: Decision,
    chart: Chart,
    digest: String,
    leave: Leave,
}

/// Decides what helm has to do for a release; nothing is changed.
pub(super) fn judge(
    planned: &PlannedRelease,
    options: &Options,
    inventory: &Inventory,
    records: &[Record],
    live: &Live,
) -> Result<JudgedRelease, Error> {
    let chart = Chart::find(&planned.spec, options.charts.as_deref())?;
    let digest = chart.digest(&planned.values);
    let decision = helm::decide(&Seen {
        release: &planned.release(),
        chart: planned.chart_name(),
        digest: &digest,
        remembered: inventory.release(&planned.spec.release, &planned.namespace),
        record: records.iter().find(|record| record.release == planned.release()),
        live,
        now: Timestamp::now(),
        leave: options.leave,
    });
    Ok(JudgedRelease { decision, chart, digest, leave: options.leave })
}

/// Fetches the charts that helm will be given, side by side: what is wrong with one is known before anything is changed. They
/// are there as long as the folder that is returned.
pub(super) async fn fetch_charts(
    plan: &Plan,
    releases: &mut BTreeMap<Release, JudgedRelease>,
    helm: &Helm,
    until: &Until,
    events: &Events,
) -> Result<TempDir, Error> {
    let failed = |error: io::Error| {
        Error::new(Exit::Unexpected, "failed to make a temporary folder for charts").because(error)
    };
    let folder = tempfile::Builder::new().prefix("bootstrap-charts-").tempdir().map_err(failed)?;
    let specs: BTreeMap<_, _> = plan.releases().map(|planned| (planned.release(), &planned.spec)).collect();
    let mut fetching = Vec::new();
    for (number, (release, judged)) in releases.iter_mut().enumerate() {
        if let (Decision::Run(_), Some(spec)) = (&judged.decision, specs.get(release)) {
            let place = folder.path().join(number.to_string());
            fs::create_dir(&place).map_err(failed)?;
            fetching.push(async move {
                let mut fetching = pin!(helm.fetch(spec, judged.chart.clone(), &place, until));
                let fetched = if let Ok(fetched) = timeout(UNREMARKABLE, &mut fetching).await {
                    fetched
                } else {
                    let what = format!("helm to fetch the chart {} {}", spec.chart, spec.version);
                    events.send(Kind::Waiting { what });
                    fetching.await
                };
                judged.chart = fetched?;
                Ok::<_, Error>(())
            });
        }
    }
    try_join_all(fetching).await?;
    Ok(folder)
}

/// Makes the release of a step what the stack wants, and adds its objects to those that are waited for.
pub(super) async fn carry_out(
    run: &Run,
    step: &PlannedStep,
    planned: &PlannedRelease,
    deadline: Instant,
    done: &mut Done,
) -> Result<(), StepError> {
    let release = planned.release();
    let judged = &run.releases[&release];
    let (change, record) = match &judged.decision {
        Decision::Nothing => {
            (Change::Unchanged, run.records.iter().find(|record| record.release == release).cloned())
        }
        Decision::Run(work) => (work.change, finish(run, step, planned, judged, work, deadline).await?),
        Decision::Refuse(refusal) => return Err(refused(refusal, &release).into()),
    };
    done.tally.count(change);
    run.events.send(Kind::ReleaseChanged {
        step: Some(step.name.clone()),
        release: release.name,
        namespace: release.namespace,
        change,
        revision: record.as_ref().map(|record| record.revision),
    });
    let mut fresh = Live::default();
    if change != Change::Unchanged {
        // What was read before helm ran says nothing about what runs now.
        let objects = record.iter().flat_map(Record::objects);
        fresh.read(&run.cluster, objects).await.map_err(RequestError::into_error)?;
    }
    let live = if change == Change::Unchanged { &run.live } else { &fresh };
    for object in record.iter().flat_map(Record::objects) {
        let seen = live.get(&object).cloned();
        done.awaited.push(Awaited { object, seen });
    }
    run.circumstances.promised.release_is_done(&step.name);
    Ok(())
}

/// Runs helm, unless the release is another by now than was seen before the first change, and again while it fails for what
/// may pass: what that has left is judged anew.
async fn finish(
    run: &Run,
    step: &PlannedStep,
    planned: &PlannedRelease,
    judged: &JudgedRelease,
    work: &Work,
    deadline: Instant,
) -> Result<Option<Record>, StepError> {
    let release = planned.release();
    let before = run.records.iter().find(|record| record.release == release);
    let state = |record: &Record| (record.revision, record.status);
    let (mut work, mut pause, mut is_first) = (work.clone(), FIRST_PAUSE, true);
    loop {
        // Answered only when the server is there.
        let records = helm::records(&run.cluster, &release.namespace, &[release.name.as_str()]).await?;
        let record = records.into_iter().next();
        if !is_first || record.as_ref().map(state) != before.map(state) {
            match judge_again(run, planned, judged, record.as_ref()).await? {
                Decision::Run(left) if is_first && left.repair.is_some() => {
                    let message = format!("{release} is worked on by somebody else: {}", left.why);
                    return Err(Error::new(Exit::Refused, message).into());
                }
                Decision::Run(left) => work = left,
                Decision::Nothing => return Ok(record),
                Decision::Refuse(refusal) => return Err(refused(&refusal, &release).into()),
            }
        }
        let error = match run_helm(run, step, planned, judged, &work, deadline).await? {
            Ok(record) => return Ok(record),
            Err(error) => error,
        };
        is_first = false;
        let left = deadline.saturating_duration_since(Instant::now());
        if left <= FIRST_PAUSE {
            return Err(error.exiting(Exit::Timeout).into());
        }
        let words = error.causes().join("; ").replace('\n', "; ");
        run.events.send(Kind::Waiting { what: format!("helm to get further with {release} ({words})") });
        select! {
            () = run.stop.cancelled() => return Err(StepError::Cut),
            () = sleep(pause.min(left.saturating_sub(FIRST_PAUSE))) => pause = (pause * 2).min(LAST_PAUSE),
        }
    }
}

/// Decides about a release as it is now.
async fn judge_again(
    run: &Run,
    planned: &PlannedRelease,
    judged: &JudgedRelease,
    record: Option<&Record>,
) -> Result<Decision, Error> {
    let release = planned.release();
    let mut live = run.live.with_only(None);
    let objects = record.into_iter().flat_map(Record::objects);
    live.read(&run.cluster, objects).await.map_err(RequestError::into_error)?;
    let inventory = run.inventory.lock().await.clone();
    Ok(helm::decide(&Seen {
        release: &release,
        chart: planned.chart_name(),
        digest: &judged.digest,
        remembered: inventory.release(&release.name, &release.namespace),
        record,
        live: &live,
        now: Timestamp::now(),
        leave: judged.leave,
    }))
}

/// Runs helm once. The inner error is one of helm's own that may pass.
async fn run_helm(
    run: &Run,
    step: &PlannedStep,
    planned: &PlannedRelease,
    judged: &JudgedRelease,
    work: &Work,
    deadline: Instant,
) -> Result<Result<Option<Record>, Error>, StepError> {
    let release = planned.release();
    for drift in &work.drift {
        run.events.send(Kind::DriftReverted {
            step: step.name.clone(),
            object: drift.object.clone(),
            change: drift.change.clone(),
            manager: drift.manager.clone().unwrap_or_else(|| fields::UNNAMED.to_owned()),
            age: drift.age.clone(),
        });
    }
    run.events.send(Kind::ReleaseStarted {
        step: Some(step.name.clone()),
        release: release.name.clone(),
        action: action(work),
        why: work.why.clone(),
    });
    let namespace = apply::bare_namespace(&release.namespace);
    let change = apply::ensure_namespace(
        &run.cluster,
        &run.waiter,
        &run.events,
        &namespace,
        &run.stack,
        deadline,
        &run.stop,
    )
    .await?;
    tell_of_namespace(&run.events, Some(&step.name), &release.namespace, change);
    // The name is written down before helm starts, so that a release that a killed run leaves is known as ours.
    remember(run, step, &release, None).await?;
    let helm = run.helm.as_ref().expect("helm was looked for when the release was judged");
    let until = Until { deadline, cancelled: run.cancel.clone() };
    let force_conflicts = work.force || judged.leave.force_conflicts;
    let take_ownership = judged.leave.adopt;
    let upgrade = Upgrade { chart: &judged.chart, values: &planned.values, force_conflicts, take_ownership };
    let working = async {
        match work.repair {
            Some(Repair::Uninstall) => helm.uninstall(&release, &until).await?,
            Some(Repair::Rollback(revision)) => {
                helm.rollback(&release, revision, force_conflicts, &until).await?;
            }
            None => {}
        }
        helm.upgrade(&release, &upgrade, &until).await
    };
    if let Err(error) = working.await {
        // What helm was cut off from may be there in a moment; what it has ended by itself is not.
        if matches!(error.exit(), Exit::Refused | Exit::Doomed) {
            // The news is helm's failure, whether or not its name can be taken off the inventory.
            let _ = forget_unmade(run, &release).await;
        }
        return match error.exit() {
            Exit::Unexpected => Ok(Err(error)),
            Exit::Doomed => {
                let words = error.causes().join("\n");
                let hooks = diagnose::failed_hooks(&run.cluster, &release.namespace, &words).await;
                Err(StepError::Failed(error, hooks))
            }
            _ => Err(error.into()),
        };
    }
    let mut records = helm::records(&run.cluster, &release.namespace, &[release.name.as_str()]).await?;
    let record = records.pop();
    let made = record.as_ref().map(|record| (judged.digest.clone(), record.revision));
    remember(run, step, &release, made).await?;
    Ok(Ok(record))
}

fn refused(refusal: &Refusal, release: &Release) -> Error {
    Error::new(Exit::Refused, refusal.text()).hint(refusal.hint(release))
}

/// What helm is first started for.
fn action(work: &Work) -> ReleaseAction {
    match (work.repair, work.change) {
        (Some(Repair::Uninstall), _) => ReleaseAction::Uninstall,
        (Some(Repair::Rollback(_)), _) => ReleaseAction::Rollback,
        (None, Change::Created) => ReleaseAction::Install,
        (None, _) => ReleaseAction::Upgrade,
    }
}

/// Takes a release's name off the inventory again if helm has made nothing of it: whoever makes one of that name later owns it.
async fn forget_unmade(run: &Run, release: &Release) -> Result<(), Error> {
    let records = helm::records(&run.cluster, &release.namespace, &[release.name.as_str()]).await?;
    if !records.is_empty() {
        return Ok(());
    }
    let mut inventory = run.inventory.lock().await;
    inventory.content.releases.retain(|entry| entry.release() != *release);
    inventory.save(&run.cluster).await
}

async fn remember(
    run: &Run,
    step: &PlannedStep,
    release: &Release,
    made: Option<(String, u32)>,
) -> Result<(), Error> {
    let (digest, revision) = made.unzip();
    let mut inventory = run.inventory.lock().await;
    inventory.set_release(ReleaseEntry {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        step: step.name.clone(),
        is_storage: step.is_storage,
        digest,
        revision,
    });
    inventory.save(&run.cluster).await
}
