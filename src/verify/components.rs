//! Which programs a plan brings, and what its files say of them. Pure. A program is told by its image's or its chart's name,
//! so a stack may call its objects what it likes and take its images from wherever.

use serde_json::Value;

use super::pods::Labels;
use crate::manifest::Manifest;
use crate::object::{self, ObjectRef};
use crate::plan::{Plan, PlannedRelease};
use crate::yaml;

/// A workload of the plan, and the container in it that runs the program.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: ObjectRef,
    /// What its pods are told by.
    pub(super) labels: Labels,
    /// The container, as the manifest has it.
    container: Value,
    /// The names and texts of the files in the ConfigMaps that its pods read.
    files: Vec<(String, String)>,
    /// The service account of its pods.
    pub(super) account: String,
    /// Whether its pods are meant for some nodes only.
    pub(super) picks_nodes: bool,
    /// Whether its pods have a claim, so that the next ones find what they wrote.
    pub(super) has_claim: bool,
}

/// Finds the workload whose container runs an image of this name, wherever it comes from.
pub(super) fn workload(plan: &Plan, image: &str) -> Option<Workload> {
    plan.manifests().find_map(|manifest| {
        let spec = &manifest.object.data["spec"];
        let pod = &spec["template"]["spec"];
        let mut containers = pod["containers"].as_array()?.iter();
        let container = containers.find(|container| image_name(container) == Some(image))?;
        let labels = serde_json::from_value(spec["selector"]["matchLabels"].clone()).ok()?;
        Some(Workload {
            name: manifest.name.clone(),
            labels,
            container: container.clone(),
            files: files(plan, manifest),
            account: pod["serviceAccountName"].as_str().unwrap_or("default").to_owned(),
            picks_nodes: !pod["nodeSelector"].is_null() || !pod["affinity"].is_null(),
            has_claim: !spec["volumeClaimTemplates"].is_null()
                || pod["volumes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|volume| !volume["persistentVolumeClaim"].is_null()),
        })
    })
}

/// Finds the release of a chart of this name.
pub(super) fn release<'a>(plan: &'a Plan, chart: &str) -> Option<&'a PlannedRelease> {
    plan.releases().find(|release| release.chart_name() == chart)
}

/// The labels that charts give the pods of a release.
pub(super) fn labels_of(release: &PlannedRelease) -> Labels {
    let name = release.spec.release.clone();
    [("app.kubernetes.io/instance".to_owned(), name)].into()
}

/// The cluster roles that the plan binds to a service account.
pub(super) fn roles_of(plan: &Plan, namespace: Option<&str>, account: &str) -> Vec<String> {
    let bindings = plan.manifests().filter(|manifest| manifest.name.is(&object::CLUSTER_ROLE_BINDING));
    let of_account = bindings.filter(|binding| {
        let subjects = binding.object.data["subjects"].as_array();
        subjects.into_iter().flatten().any(|subject| {
            subject["name"].as_str() == Some(account) && subject["namespace"].as_str() == namespace
        })
    });
    of_account
        .filter_map(|binding| binding.object.data["roleRef"]["name"].as_str())
        .map(str::to_owned)
        .collect()
}

impl Workload {
    /// The container's name.
    pub(super) fn container(&self) -> &str {
        self.container["name"].as_str().unwrap_or_default()
    }

    /// The file that an argument `--config.file=…` names, as YAML.
    pub(super) fn config(&self) -> Option<Value> {
        let mut arguments = self.container["args"].as_array()?.iter().filter_map(Value::as_str);
        let (_, path) = arguments.find_map(|argument| argument.split_once("config.file="))?;
        let name = path.rsplit('/').next()?;
        let (_, text) = self.files.iter().find(|(file, _)| file == name)?;
        yaml::document(name, text).ok()
    }

    /// The names and texts of the files that its pods read.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The value of a variable of its environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment(name)?["value"].as_str()
    }

    /// The Secret and the key that a variable of its environment comes from.
    pub(super) fn secret(&self, variable: &str) -> Option<(&str, &str)> {
        let from = &self.environment(variable)?["valueFrom"]["secretKeyRef"];
        Some((from["name"].as_str()?, from["key"].as_str()?))
    }

    /// Tells whether its environment has a variable, wherever that comes from.
    pub(super) fn sets(&self, variable: &str) -> bool {
        self.environment(variable).is_some()
    }

    fn environment(&self, name: &str) -> Option<&Value> {
        self.container["env"].as_array()?.iter().find(|variable| variable["name"] == name)
    }
}

/// `prom/prometheus` and `a.registry:5000/mirror/prometheus@sha256:…` are both `prometheus`.
fn image_name(container: &Value) -> Option<&str> {
    let last = container["image"].as_str()?.rsplit('/').next()?;
    last.split([':', '@']).next()
}

fn files(plan: &Plan, workload: &Manifest) -> Vec<(String, String)> {
    let volumes = workload.object.data["spec"]["template"]["spec"]["volumes"].as_array();
    let names: Vec<_> =
        volumes.into_iter().flatten().filter_map(|volume| volume["configMap"]["name"].as_str()).collect();
    let maps = plan.manifests().filter(|manifest| {
        manifest.name.is(&object::CONFIG_MAP)
            && manifest.name.namespace == workload.name.namespace
            && names.contains(&manifest.name.name.as_str())
    });
    maps.filter_map(|map| map.object.data["data"].as_object())
        .flatten()
        .filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
        .collect()
}
