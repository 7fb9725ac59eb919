//! `bootstrap status`: what runs, by step, as it stands now.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::{Common, Output};
use crate::cluster::{Cluster, RequestError};
use crate::commands::{on_cluster, stack};
use crate::engine;
use crate::error::Exit;
use crate::helm::Record;
use crate::inventory::Inventory;
use crate::live::Live;
use crate::object::{self, Object, ObjectRef};
use crate::plan::{Plan, PlannedStep, Selection};
use crate::report::Printer;
use crate::status::{self, Served, Status, Surroundings};

/// How a step stands.
#[derive(Serialize)]
struct StepStatus {
    step: String,
    status: Status,
    objects: usize,
    release: Option<ReleaseStatus>,
    unready: Vec<ObjectStatus>,
}

#[derive(Serialize)]
struct ReleaseStatus {
    name: String,
    revision: u32,
    chart: String,
    status: String,
}

#[derive(Serialize)]
struct ObjectStatus {
    object: String,
    status: Status,
    message: String,
}

#[derive(Serialize)]
struct Report {
    cluster: String,
    stack: String,
    namespace: String,
    installed: bool,
    steps: Vec<StepStatus>,
    addresses: Vec<String>,
}

pub(super) async fn run(common: &Common, printer: &Printer) -> anyhow::Result<Exit> {
    let stack = stack(common)?;
    let mut plan = Plan::new(&stack, &Selection::default())?;
    let report: anyhow::Result<_> = on_cluster(common, async |cluster, identity| {
        engine::place(cluster, &mut plan).await?;
        let inventory = Inventory::load(cluster, &plan.stack, &plan.namespace).await?;
        let installed = inventory.is_installed();
        let steps = if installed { steps(cluster, &plan, &inventory).await? } else { Vec::new() };
        let hosts = plan.hosts().filter(|_| installed);
        Ok(Report {
            cluster: identity.to_string(),
            stack: plan.stack.clone(),
            namespace: plan.namespace.clone(),
            installed,
            steps,
            addresses: hosts.map(|host| format!("http://{host}/")).collect(),
        })
    })
    .await;
    let report = report?;
    if common.output == Output::Json {
        printer.data(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        printer.data(&report.text())?;
    }
    Ok(Exit::Success)
}

async fn steps(cluster: &Cluster, plan: &Plan, inventory: &Inventory) -> anyhow::Result<Vec<StepStatus>> {
    let records = engine::read_records(cluster, plan).await?;
    let record = |step: &PlannedStep| {
        let planned = step.release.as_ref()?;
        records.iter().find(|record| record.release == planned.release())
    };
    let names = |step: &PlannedStep| {
        let written = step.waves.iter().flatten().map(|manifest| manifest.name.clone());
        let secret = step
            .secret
            .iter()
            .map(|secret| ObjectRef::new(&object::SECRET, Some(&plan.namespace), &secret.name));
        written.chain(secret).chain(record(step).into_iter().flat_map(Record::objects)).collect::<Vec<_>>()
    };
    let mut live = Live::default();
    let all: Vec<_> = plan.steps.iter().flat_map(&names).collect();
    live.read(cluster, all.iter().cloned()).await.map_err(RequestError::into_preflight)?;
    let (classes, slices) = (object::STORAGE_CLASS.gvk(), object::ENDPOINT_SLICE.gvk());
    let (classes, slices) = tokio::try_join!(
        cluster.list(&classes, None, None),
        cluster.list(&slices, Some(&plan.namespace), None),
    )
    .map_err(RequestError::into_preflight)?;
    let around = Surroundings {
        storage_classes: Some(classes.iter().collect()),
        endpoint_slices: Some(slices.iter().collect()),
        served: served(cluster, all.iter().filter_map(|name| live.get(name))).await,
        ..Surroundings::default()
    };
    let installed = |step: &&PlannedStep| inventory.content.steps.contains(&step.name);
    Ok(plan
        .steps
        .iter()
        .filter(installed)
        .map(|step| {
            let objects = names(step);
            let release = step.release.as_ref().map(|planned| ReleaseStatus {
                name: planned.spec.release.clone(),
                revision: record(step).map_or(0, |record| record.revision),
                chart: format!("{} {}", planned.chart_name(), planned.spec.version),
                status: record(step).map_or_else(|| "missing".to_owned(), |record| record.status.to_string()),
            });
            step_status(step, &objects, release, &live, &around)
        })
        .collect())
}

fn step_status(
    step: &PlannedStep,
    objects: &[ObjectRef],
    release: Option<ReleaseStatus>,
    live: &Live,
    around: &Surroundings<'_>,
) -> StepStatus {
    let mut unready = Vec::new();
    for name in objects {
        let (status, message) = match live.get(name).or_else(|| live.leaving(name)) {
            None => (Status::NotFound, String::new()),
            Some(object) => {
                let assessment = status::assess(object, around);
                (assessment.status, assessment.message)
            }
        };
        if status != Status::Current {
            unready.push(ObjectStatus { object: name.to_string(), status, message });
        }
    }
    let deployed = release.as_ref().is_none_or(|release| release.status == "deployed");
    let status = match unready.first() {
        Some(first) => unready.iter().find(|object| object.status == Status::Failed).unwrap_or(first).status,
        None if deployed => Status::Current,
        None => Status::Failed,
    };
    StepStatus { step: step.name.clone(), status, objects: objects.len(), release, unready }
}

/// Which of the APIs that objects bring answer discovery.
async fn served(cluster: &Cluster, objects: impl Iterator<Item = &Object>) -> BTreeSet<Served> {
    let mut served = BTreeSet::new();
    for object in objects {
        for api in status::discovery(object) {
            if cluster.serves(&api.group, &api.version).await {
                served.insert(api);
            }
        }
    }
    served
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!("{} → {}\n", self.cluster, self.namespace);
        if !self.installed {
            return text + &format!("the stack {} is not installed\n", self.stack);
        }
        let width = self.steps.iter().map(|step| step.step.len()).max().unwrap_or_default();
        for step in &self.steps {
            let status = format!("{:?}", step.status);
            text += &format!("{:width$}  {status:11}  {}", step.step, plural(step.objects, "object"));
            if let Some(release) = &step.release {
                let ReleaseStatus { name, revision, chart, status } = release;
                text += &format!("  release {name}, revision {revision}, {chart}, {status}");
            }
            text.push('\n');
            for object in &step.unready {
                text +=
                    &format!("{:width$}  {}: {:?} {}\n", "", object.object, object.status, object.message);
            }
        }
        for address in &self.addresses {
            text += &format!("{address}\n");
        }
        text
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("{count} {word} ") } else { format!("{count} {word}s") }
}
