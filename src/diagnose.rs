//! What a failure shows of an object that is not ready: the reasons that its verdict rests on, the log and the Warning events
//! that bear on them, and one thing to run.
//!
//! Fetches logs. A secret that its pod was given is never shown.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use futures::join;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::event::{Diagnosis, PodReason, Verdict, WarningEvent};
use crate::evidence::{Evidence, Sights, last_seen, times};
use crate::object::{self, Kind, Object, ObjectRef};
use crate::status::{Assessment, Status, Surroundings, assess};
use crate::verdict::{self, Circumstances, Crashes, Reason};

use mask::Mask;

mod hint;
mod log;
mod mask;

/// How long one look may take: a user already waits for the failure itself.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a kubelet says beside the reason that it has just given, and the word for what is plain from the restarts.
const REPEATED: [&str; 3] = ["Error: ErrImagePull", "Error: ImagePullBackOff", "BackOff"];

/// How many Warning events are shown.
const WARNINGS: usize = 5;

/// An object that is judged.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) object: ObjectRef,
    /// How it stands.
    pub(crate) assessment: Assessment,
    /// What it waits for; what is permanent comes first.
    pub(crate) reasons: Vec<Reason>,
    /// What the reasons were told from.
    pub(crate) evidence: Evidence,
}

/// Says of each subject why it is not ready. What cannot be had, for want of time or of rights, is left out, and so is what
/// programs say whose secrets nobody may read: they could not be masked.
pub(crate) async fn diagnose(cluster: &Cluster, subjects: Vec<Subject>) -> Vec<Diagnosis> {
    join_all(subjects.into_iter().map(|subject| one(cluster, subject))).await
}

async fn one(cluster: &Cluster, subject: Subject) -> Diagnosis {
    let Subject { object, assessment: Assessment { status, message }, reasons, evidence } = subject;
    let pods: Vec<_> = reasons.into_iter().map(|reason| reason.what).collect();
    let verdict = if status == Status::Failed { Verdict::Doomed } else { Verdict::OutOfTime };
    let hint = cluster.target().name_in(&hint::of(&object, pods.first()));
    let (mask, log) =
        join!(Mask::of(cluster, &evidence), log::excerpt(cluster, object.namespace.as_deref(), &pods));
    let mut diagnosis = Diagnosis {
        log,
        warnings: warnings(&evidence, &pods),
        verdict,
        pods,
        hint: Some(hint),
        ..Diagnosis::new(object, status, message)
    };
    match mask {
        Some(mask) => mask.put_on(&mut diagnosis),
        None => mask::silence(&mut diagnosis),
    }
    diagnosis
}

/// Diagnoses the Jobs of a namespace that have failed as hooks of a release. Helm only says that they did, in `words` such as
/// `failed pre-install: resource Job/monitoring/migrate not ready`; nothing is asked for when these name no Job.
pub(crate) async fn failed_hooks(cluster: &Cluster, namespace: &str, words: &str) -> Vec<Diagnosis> {
    if !words.to_lowercase().contains("job") {
        return Vec::new();
    }
    let list = async |kind: &Kind| {
        let listing = timeout(TIMEOUT, cluster.list(&kind.gvk(), Some(namespace), None)).await;
        listing.ok().and_then(Result::ok).unwrap_or_default()
    };
    let (jobs, pods, events) = join!(list(&object::JOB), list(&object::POD), list(&object::EVENT));
    let seen = Sights { pods: pods.iter().collect(), events: events.iter().collect(), ..Sights::default() };
    let is_hook = |job: &&Object| {
        job.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key("helm.sh/hook"))
            && job.metadata.name.as_ref().is_some_and(|name| words.contains(name))
    };
    let subjects = jobs.iter().filter(is_hook).filter_map(|job| {
        let object = ObjectRef::of(job)?;
        let assessment = assess(job, &Surroundings::default());
        let evidence = Evidence::of(&object, job, &seen);
        let reasons =
            verdict::reasons(&object, job, &evidence, &Crashes::default(), &Circumstances::default());
        let subject = Subject { object, assessment, reasons, evidence };
        (subject.assessment.status == Status::Failed).then_some(subject)
    });
    diagnose(cluster, subjects.collect()).await
}

/// The last Warning events, each once, but for those that a reason repeats already.
fn warnings(evidence: &Evidence, reasons: &[PodReason]) -> Vec<WarningEvent> {
    let is_told = |message: &str| {
        // A reason names the probe beside what was answered.
        let answer = message.split_once(" probe failed: ").map_or(message, |(_, answer)| answer);
        let says = |told: &str| told.contains(answer) || !told.is_empty() && message.contains(told);
        reasons.iter().any(|reason| says(&reason.message))
    };
    let is_warning = |event: &&_| {
        let event: &k8s_openapi::api::core::v1::Event = event;
        event.type_.as_deref() == Some("Warning")
    };
    let mut events: Vec<_> = evidence.events.iter().filter(is_warning).collect();
    events.sort_by_key(|event| last_seen(event));
    let mut seen = BTreeSet::new();
    let mut warnings = Vec::new();
    for event in events.into_iter().rev() {
        let (reason, message) = (event.reason.clone(), event.message.clone());
        let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
        let subject = &event.involved_object;
        let kind = subject.kind.as_deref().unwrap_or("object").to_lowercase();
        let about = format!("{kind}/{}", subject.name.as_deref().unwrap_or_default());
        let is_repeated = [&reason, &message].iter().any(|text| REPEATED.contains(&text.as_str()));
        if !is_repeated && !is_told(&message) && seen.insert((about.clone(), reason.clone())) {
            warnings.push(WarningEvent { about, reason, message, count: times(event) });
        }
    }
    warnings.truncate(WARNINGS);
    warnings.reverse();
    warnings
}
