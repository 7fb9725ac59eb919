//! The images that a folder of manifests and Helm values names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::node::reference::Reference;

/// Reads every YAML file of a folder and all below it.
pub(crate) fn images(folder: &Path) -> Result<BTreeSet<Reference>> {
    let mut found = BTreeSet::new();
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(images(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let text = fs::read_to_string(&path)?;
            let within = images_of(&text).with_context(|| format!("failed to read {}", path.display()))?;
            found.extend(within);
        }
    }
    Ok(found)
}

fn images_of(yaml: &str) -> Result<BTreeSet<Reference>> {
    let mut found = BTreeSet::new();
    for document in serde_yaml::from_multiple::<Value>(yaml)? {
        collect(&document, &mut found)?;
    }
    Ok(found)
}

fn collect(value: &Value, found: &mut BTreeSet<Reference>) -> Result<()> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            if name == "image"
                && let Some(text) = reference(field)
            {
                found.insert(Reference::parse(&text)?);
            }
            collect(field, found)
        }),
        _ => Ok(()),
    }
}

/// A manifest has the reference as a string, Helm values mostly in parts.
fn reference(image: &Value) -> Option<String> {
    let part = |name: &str| match image.get(name)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.trim_end_matches('/').to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some(text) = image.as_str() {
        return Some(text.to_owned());
    }
    let registry = part("registry").map(|registry| format!("{registry}/")).unwrap_or_default();
    let tag = part("tag").map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = part("digest").map(|digest| format!("@{digest}")).unwrap_or_default();
    Some(format!("{registry}{}{tag}{digest}", part("repository")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_in_manifests_and_in_values() {
        let yaml = "\
spec:
  containers:
  - {name: a, image: grafana/loki:3.7.8}
---
localpv:
  image: {registry: docker.io/, repository: openebs/provisioner-localpv, tag: 4.5.1}
image: {repository: registry.k8s.io/x/y, tag: v1, pullPolicy: Always}
other: {image: {pullPolicy: Always}}
";
        let found: Vec<_> = images_of(yaml).expect("valid").iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docker.io/grafana/loki:3.7.8",
                "docker.io/openebs/provisioner-localpv:4.5.1",
                "registry.k8s.io/x/y:v1"
            ]
        );
    }

    #[test]
    fn the_embedded_stack_names_the_images_it_needs() {
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
        let programs: Vec<_> =
            images(&manifests).expect("readable").iter().map(|image| image.program().to_owned()).collect();
        for program in ["prometheus", "loki", "grafana", "alloy", "kube-state-metrics", "prometheus-adapter"]
        {
            assert!(programs.iter().any(|found| found == program), "{program} in {programs:?}");
        }
    }
}
