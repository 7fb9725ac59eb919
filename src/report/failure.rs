//! What a failed step shows, the cause first: each object that was not ready, why its pods wait, the end of a log, the
//! warnings that bear on it, and what can be run.

use super::line::{Body, Detail};
use super::paint::Paint;
use super::phrases;
use crate::event::{Diagnosis, PodReason, Verdict, WarningEvent};

/// What became of the step, in a few words: the objects are named below.
pub(super) fn head(message: &str, diagnoses: &[Diagnosis]) -> String {
    match diagnoses {
        [] => phrases::clean(message),
        [first, ..] if first.verdict == Verdict::Doomed => "cannot become ready".to_owned(),
        unready => {
            let objects = phrases::count(u32::try_from(unready.len()).unwrap_or(u32::MAX), "object");
            format!("timed out waiting for {objects}")
        }
    }
}

/// What stands below that: the causes of the error, or what was found out about each object, without the hint that is
/// told elsewhere.
pub(super) fn details(
    causes: &[String],
    diagnoses: &[Diagnosis],
    told: Option<&str>,
    paint: Paint,
) -> Vec<Detail> {
    if diagnoses.is_empty() {
        return causes
            .iter()
            .map(|cause| Detail::words(0, format!("caused by: {}", phrases::clean(cause))))
            .collect();
    }
    diagnoses.iter().flat_map(|diagnosis| about(diagnosis, told, paint)).collect()
}

/// The same as text.
pub(super) fn text(causes: &[String], diagnoses: &[Diagnosis]) -> String {
    let details = details(causes, diagnoses, None, Paint::new(false));
    details.iter().flat_map(Detail::lines).collect::<Vec<_>>().join("\n")
}

/// A line for each object, or for each cause, and the first hint: for places where there is little room.
pub(super) fn brief(message: &str, causes: &[String], diagnoses: &[Diagnosis]) -> Vec<String> {
    if diagnoses.is_empty() {
        let causes = causes.iter().map(|cause| format!("caused by: {}", phrases::clean(cause)));
        return [phrases::clean(message)].into_iter().chain(causes).collect();
    }
    let objects = diagnoses.iter().map(|one| {
        let source = one.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
        phrases::clean(&format!("{}{source}: {}", one.object, one.reason()))
    });
    let hint = diagnoses.iter().find_map(|one| one.hint.as_ref()).map(|hint| format!("hint: {hint}"));
    [head(message, diagnoses)].into_iter().chain(objects).chain(hint).collect()
}

fn about(diagnosis: &Diagnosis, told: Option<&str>, paint: Paint) -> Vec<Detail> {
    let Diagnosis { object, source, status, message, pods, log, warnings, hint, .. } = diagnosis;
    let source = source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
    // A status tells of the first trouble as well, which stands below.
    let message = pods.iter().fold(message.clone(), |message, pod| message.replace(&format!("; {pod}"), ""));
    let state = phrases::clean(&phrases::status(*status, &message));
    let name = paint.strong(&object.to_string());
    let mut details = vec![Detail::words(0, format!("{name}{source}: {state}"))];
    details.extend(alike(pods).into_iter().map(|(pod, others)| Detail::words(2, waits(pod, others, paint))));
    if let Some(log) = log.as_ref().filter(|log| !log.lines.is_empty()) {
        let which = if log.previous { " (previous)" } else { "" };
        details
            .push(Detail::words(2, format!("log of pod/{}, container {}{which}:", log.pod, log.container)));
        let lines = log.lines.iter().map(|line| phrases::clean(line).replace('\n', " ")).collect();
        details.push(Detail { indent: 4, body: Body::Log(lines) });
    }
    let is_news = |warning: &&WarningEvent| pods.iter().all(|pod| pod.message != warning.message);
    // Where no pod says why, an event does.
    let body = if pods.is_empty() { Body::Words } else { Body::Event };
    details.extend(
        warnings.iter().filter(is_news).map(|warning| Detail { indent: 2, body: body(event(warning)) }),
    );
    let hint = hint.as_ref().filter(|hint| told != Some(hint));
    details.extend(hint.map(|hint| Detail::whole(2, format!("{} {hint}", paint.active("hint:")))));
    details
}

/// One of each group of pods that wait for the same reason, and how many others there are.
fn alike(pods: &[PodReason]) -> Vec<(&PodReason, u32)> {
    let mut groups: Vec<(&PodReason, u32)> = Vec::new();
    for pod in pods {
        let same = |(first, _): &&mut (&PodReason, u32)| {
            first.pod != pod.pod && first.container == pod.container && first.reason == pod.reason
        };
        match groups.iter_mut().find(same) {
            Some((_, others)) => *others += 1,
            None => groups.push((pod, 0)),
        }
    }
    groups
}

fn waits(pod: &PodReason, others: u32, paint: Paint) -> String {
    let mut text = pod.about();
    if others > 0 {
        text += &format!(" and {}", phrases::count(others, "other"));
    }
    if let Some(container) = &pod.container {
        text += &format!(", container {container}");
    }
    text += &format!(": {}", paint.attention(&pod.reason));
    if pod.message.is_empty() { text } else { format!("{text}: {}", phrases::clean(&pod.message)) }
}

fn event(WarningEvent { about, reason, message, count }: &WarningEvent) -> String {
    let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
    format!("event {about}: {reason}{times}: {}", phrases::clean(message))
}
