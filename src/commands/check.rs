//! `bootstrap check`: the preflight alone, one line a check.

use serde::Serialize;

use crate::cli::{Check, Common, Output};
use crate::cluster::{Cluster, RequestError};
use crate::commands::{stack, target};
use crate::error::{Error, Exit};
use crate::helm::Helm;
use crate::live::Live;
use crate::object;
use crate::plan::{Plan, Selection};
use crate::report::Printer;
use crate::{preflight, storage};

/// One line.
#[derive(Serialize)]
struct Line {
    category: &'static str,
    outcome: Outcome,
    message: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

pub(super) async fn run(common: &Common, options: &Check, printer: &Printer) -> anyhow::Result<Exit> {
    let mut plan = Plan::new(&stack(common)?, &Selection::default())?;
    let mut lines = vec![passed("stack", format!("{} has {} steps", plan.stack, plan.steps.len()))];
    let cluster = match reach(common).await {
        Ok((cluster, identity)) => {
            lines.push(passed("cluster", format!("{identity} answers")));
            Some(cluster)
        }
        Err(error) => {
            lines.push(failed("cluster", &error));
            None
        }
    };
    if let Some(cluster) = &cluster {
        lines.extend(readiness(cluster).await);
        lines.push(storage_class(cluster, &mut plan, &options.storage_class).await);
    } else {
        lines.push(skipped("cluster", "nodes and DNS"));
        lines.push(skipped("storage", "storage class"));
    }
    if plan.releases().next().is_some() {
        lines.push(helm(common).await);
    }
    if common.output == Output::Json {
        printer.data(&format!("{}\n", serde_json::to_string_pretty(&lines)?))?;
    } else {
        let text: String = lines.iter().map(Line::text).collect();
        printer.data(&text)?;
    }
    let all_well = lines.iter().all(|line| line.outcome == Outcome::Passed);
    Ok(if all_well { Exit::Success } else { Exit::Preflight })
}

async fn reach(common: &Common) -> Result<(Cluster, crate::cluster::Identity), Error> {
    let cluster = Cluster::connect(&target(common)).await?;
    let identity = preflight::reach(&cluster).await?;
    Ok((cluster, identity))
}

async fn readiness(cluster: &Cluster) -> Vec<Line> {
    match preflight::lacks(cluster).await {
        Err(error) => vec![failed("cluster", &error.into_preflight(cluster.context()))],
        Ok(lacks) if lacks.is_empty() => {
            vec![passed(
                "cluster",
                "a node is Ready, DNS has a ready pod, every aggregated API answers".to_owned(),
            )]
        }
        Ok(lacks) => lacks
            .into_iter()
            .map(|(what, hint)| {
                failed(
                    "cluster",
                    &Error::new(Exit::Preflight, format!("up would wait for {what}")).hint(hint),
                )
            })
            .collect(),
    }
}

async fn storage_class(cluster: &Cluster, plan: &mut Plan, asked: &str) -> Line {
    let choose = async {
        let kind = object::STORAGE_CLASS.gvk();
        let mut live = Live::default();
        let sets = plan
            .manifests()
            .map(|manifest| manifest.name.clone())
            .filter(|name| name.is(&object::STATEFUL_SET));
        let names: Vec<_> = storage::claims(plan).into_iter().chain(sets).collect();
        let (classes, ()) =
            tokio::try_join!(cluster.list(&kind, None, None), live.read(cluster, names.into_iter()))?;
        Ok((classes, live))
    };
    let (classes, live) = match choose.await {
        Ok(read) => read,
        Err(error) => return failed("storage", &RequestError::into_preflight(error, cluster.context())),
    };
    match storage::choose(plan, &live, &classes, asked, false) {
        Ok(None) => passed("storage", "no claim wants a storage class".to_owned()),
        Ok(Some(choice)) if choice.install => passed(
            "storage",
            format!("storage class {} ({}), which up will install", choice.class, choice.why),
        ),
        Ok(Some(choice)) => passed("storage", format!("storage class {} ({})", choice.class, choice.why)),
        Err(error) => failed("storage", &error),
    }
}

async fn helm(common: &Common) -> Line {
    let found = async {
        let helm = Helm::find(&target(common))?;
        Ok(helm.version().await?.to_string())
    };
    match found.await {
        Ok(version) => passed("helm", format!("helm {version}")),
        Err(error) => failed("helm", &error),
    }
}

fn passed(category: &'static str, message: String) -> Line {
    Line { category, outcome: Outcome::Passed, message, hint: None }
}

fn skipped(category: &'static str, what: &str) -> Line {
    Line { category, outcome: Outcome::Skipped, message: format!("{what}: needs the cluster"), hint: None }
}

fn failed(category: &'static str, error: &Error) -> Line {
    let message = [error.to_string()].into_iter().chain(error.causes()).collect::<Vec<_>>().join(": ");
    Line { category, outcome: Outcome::Failed, message, hint: error.hint_text().map(str::to_owned) }
}

impl Line {
    fn text(&self) -> String {
        let mark = match self.outcome {
            Outcome::Passed => "✓",
            Outcome::Failed => "✗",
            Outcome::Skipped => "-",
        };
        let hint = self.hint.as_ref().map(|hint| format!("    hint: {hint}\n")).unwrap_or_default();
        format!("{mark} {:8} {}\n{hint}", self.category, self.message)
    }
}
