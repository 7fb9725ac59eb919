//! `bootstrap credentials --rotate`: new random values for the stack's Secrets, and new pods for what reads them.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::Leave;
use crate::cli::{Common, Credentials};
use crate::cluster::{Cluster, Identity};
use crate::commands::consent::{self, Deed};
use crate::commands::{on_cluster, session, stack};
use crate::engine::{self, Options, Patience, Summary};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::inventory::Inventory;
use crate::manifest;
use crate::object::ObjectRef;
use crate::plan::{Plan, PlannedStep, Selection};
use crate::report::Printer;
use crate::secret::Values;
use crate::storage;
use crate::verify::{self, News};

const COMMAND: &str = "credentials --rotate";

pub(super) async fn run(common: &Common, options: &Credentials, printer: &Printer) -> Exit {
    session::conduct(common, printer, None, async |events, cancel| {
        rotate(common, options, printer, &events, &cancel).await
    })
    .await
}

async fn rotate(
    common: &Common,
    options: &Credentials,
    printer: &Printer,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let all = Plan::new(&stack(common)?, &Selection::default())?;
    let plan = all.clone().into_rotation()?;
    on_cluster(common, async |cluster, identity| {
        let plan = installed(plan, cluster, identity).await?;
        let deed =
            Deed { command: COMMAND, stack: &plan.stack, namespace: &plan.namespace, purges_data: false };
        consent::obtain(common, identity, deed, printer, cancel).await?;
        events.send(Kind::RunStarted {
            command: COMMAND,
            stack: plan.stack.clone(),
            cluster: identity.to_string(),
            namespace: plan.namespace.clone(),
            steps: plan.steps.iter().map(|step| step.name.clone()).collect(),
        });
        let deadline = Instant::now() + options.timeout;
        let patience = Patience { timeout: options.timeout, wait_lock: options.wait_lock };
        let mut summary = engine::up(cluster, plan.clone(), &how(identity), patience, events, cancel).await?;
        warn_of_old_values(cluster, &all, events).await;
        let proven = tokio::select! {
            proven = prove(cluster, &plan, deadline, events) => proven?,
            () = cancel.cancelled() => return Err(unproven()),
        };
        summary.notes.splice(0..0, proven);
        Ok(summary)
    })
    .await
}

/// The plan without the readers that were never brought to the cluster.
async fn installed(mut plan: Plan, cluster: &Cluster, identity: &Identity) -> Result<Plan, Error> {
    let inventory = Inventory::load(cluster, &plan.stack, &plan.namespace).await?;
    if !inventory.is_installed() {
        let message = format!("the stack {} is not installed on {identity} → {}", plan.stack, plan.namespace);
        return Err(Error::new(Exit::Preflight, message).hint("bootstrap up"));
    }
    let is_absent =
        |step: &&PlannedStep| step.secret.is_none() && !inventory.content.steps.contains(&step.name);
    let absent: Vec<_> = plan.steps.iter().filter(is_absent).map(|step| step.name.clone()).collect();
    for step in &absent {
        plan.leave_out(step);
    }
    Ok(plan)
}

fn how(identity: &Identity) -> Options {
    Options {
        storage_class: storage::AUTO.to_owned(),
        charts: None,
        is_local: identity.is_local(),
        leave: Leave::default(),
        prune: false,
        values: Values::Rotated,
    }
}

/// Warns of pods that read a changed Secret and are not made anew: of releases, and those that no controller replaces.
async fn warn_of_old_values(cluster: &Cluster, all: &Plan, events: &Events) {
    let records = match engine::read_records(cluster, all).await {
        Ok(records) => records,
        Err(error) => {
            let message = format!("whether pods of releases read the credentials cannot be told: {error}");
            return events.send(Kind::Warning { message });
        }
    };
    let own =
        all.manifests().map(|manifest| &manifest.object).filter(|object| !manifest::renews_pods(object));
    let of_releases = records.iter().flat_map(|record| &record.manifest);
    for (object, secret) in all.reading(own.chain(of_releases)) {
        if let Some(name) = ObjectRef::of(object) {
            let message =
                format!("{name} reads {secret}, and keeps the values of before until its pods are made anew");
            events.send(Kind::Warning { message });
        }
    }
}

/// Proves that the new credentials are let in; tells how, where the stack has something that can be asked.
async fn prove(
    cluster: &Cluster,
    plan: &Plan,
    deadline: Instant,
    events: &Events,
) -> Result<Option<String>, Error> {
    let mut tell = |news: News<'_>| {
        if let News::Waiting { check, reason } = news {
            events.send(Kind::Waiting { what: format!("{check}: {reason}") });
        }
    };
    let proven = verify::login(cluster, plan, deadline, &mut tell).await;
    proven.map_err(|error| error.within("the new credentials are there, and not proven to work"))
}

fn unproven() -> Error {
    Error::new(Exit::Interrupted, "interrupted; the new credentials are there, and not proven to work")
        .hint("bootstrap verify")
}
