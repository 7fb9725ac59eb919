//! `bootstrap check`: the preflight alone, one line a check.

use crate::cli::{Check, Common, Output};
use crate::cluster::{Cluster, RequestError};
use crate::commands::{stack, target};
use crate::error::{Error, Exit};
use crate::finding::{Finding, Outcome};
use crate::helm::Helm;
use crate::live::Live;
use crate::object;
use crate::plan::{Plan, Selection};
use crate::report::{Printer, findings};
use crate::{preflight, storage};

pub(super) async fn run(common: &Common, options: &Check, printer: &Printer) -> anyhow::Result<Exit> {
    let mut plan = Plan::new(&stack(common)?, &Selection::default())?;
    let mut found =
        vec![Finding::passed("stack", "steps", format!("{} has {} steps", plan.stack, plan.steps.len()))];
    let cluster = match reach(common).await {
        Ok((cluster, identity)) => {
            found.push(Finding::passed("cluster", "answers", format!("{identity} answers")));
            Some(cluster)
        }
        Err(error) => {
            found.push(Finding::failed("cluster", "answers", &error));
            None
        }
    };
    if let Some(cluster) = &cluster {
        found.push(readiness(cluster).await);
        found.push(storage_class(cluster, &mut plan, &options.storage_class).await);
    } else {
        found.push(Finding::skipped("cluster", "ready", "needs cluster/answers"));
        found.push(Finding::skipped("storage", "class", "needs cluster/answers"));
    }
    if plan.releases().next().is_some() {
        found.push(helm(common).await);
    }
    if common.output == Output::Json {
        printer.data(&findings::json(&found)?)?;
    } else {
        let mut text = findings::Text::new(printer.data_paint());
        let lines: String = found.iter().map(|finding| text.lines(finding)).collect();
        printer.data(&lines)?;
    }
    let all_well = found.iter().all(|finding| finding.outcome == Outcome::Passed);
    Ok(if all_well { Exit::Success } else { Exit::Preflight })
}

async fn reach(common: &Common) -> Result<(Cluster, crate::cluster::Identity), Error> {
    let cluster = Cluster::connect(&target(common)).await?;
    let identity = preflight::reach(&cluster).await?;
    Ok((cluster, identity))
}

async fn readiness(cluster: &Cluster) -> Finding {
    let lacks = match preflight::lacks(cluster).await {
        Ok(lacks) => lacks,
        Err(error) => return Finding::failed("cluster", "ready", &error.into_preflight(cluster.context())),
    };
    let Some((_, hint)) = lacks.first() else {
        let message = "a node is Ready, DNS has a ready pod, every aggregated API answers";
        return Finding::passed("cluster", "ready", message);
    };
    let waits: Vec<_> = lacks.iter().map(|(what, _)| format!("up would wait for {what}")).collect();
    Finding::failed("cluster", "ready", &Error::new(Exit::Preflight, waits.join("\n")).hint(*hint))
}

async fn storage_class(cluster: &Cluster, plan: &mut Plan, asked: &str) -> Finding {
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
        Err(error) => {
            return Finding::failed(
                "storage",
                "class",
                &RequestError::into_preflight(error, cluster.context()),
            );
        }
    };
    match storage::choose(plan, &live, &classes, asked, false) {
        Ok(None) => Finding::passed("storage", "class", "no claim wants a storage class"),
        Ok(Some(choice)) if choice.install => Finding::passed(
            "storage",
            "class",
            format!("storage class {} ({}), which up will install", choice.class, choice.why),
        ),
        Ok(Some(choice)) => {
            Finding::passed("storage", "class", format!("storage class {} ({})", choice.class, choice.why))
        }
        Err(error) => Finding::failed("storage", "class", &error),
    }
}

async fn helm(common: &Common) -> Finding {
    let found = async {
        let helm = Helm::find(&target(common))?;
        Ok(helm.version().await?.to_string())
    };
    match found.await {
        Ok(version) => Finding::passed("helm", "version", format!("helm {version}")),
        Err(error) => Finding::failed("helm", "version", &error),
    }
}
