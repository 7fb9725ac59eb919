//! What k3s ships beside Kubernetes itself, and the images that it runs.
//! Every program is the real one, built here; only the ingress class has no controller behind it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::node::images::{Image, Layer, PAUSE};
use crate::node::packages;
use crate::process::run;
use crate::tools::Tool;

/// Files that are applied to every cluster.
pub(crate) const MANIFESTS: [(&str, &str); 4] = [
    ("coredns.yaml", include_str!("../../cluster/coredns.yaml")),
    ("local-path.yaml", include_str!("../../cluster/local-path.yaml")),
    ("metrics-server.yaml", include_str!("../../cluster/metrics-server.yaml")),
    ("ingress-class.yaml", include_str!("../../cluster/ingress-class.yaml")),
];

/// Programs that run in pods of their own.
pub(crate) const TOOLS: [Tool; 3] = [Tool::CoreDns, Tool::LocalPathProvisioner, Tool::MetricsServer];

/// The label of the node that runs the addons' own pods, so that another can leave and take none along.
pub(crate) const HOME: &str = "bootstrap.internal/control-plane=true";

/// Describes the images of the addons' own pods; `paths` are those of [`TOOLS`].
pub(crate) fn images(paths: &[PathBuf]) -> impl Iterator<Item = Image> {
    let image =
        |(tool, path): (&Tool, &PathBuf)| Image::of_program(reference(*tool), tool.name(), path.clone());
    TOOLS.iter().zip(paths).map(image)
}

/// Describes the images that pods on any node need: that of every pod's first container, and local-path's helper.
pub(crate) fn images_for_all() -> Result<Vec<Image>> {
    let busybox = packages::find("busybox").context("busybox is missing")?;
    Ok(vec![pause(&busybox), shell("devcluster.internal/busybox:1".into(), &busybox)?])
}

fn reference(tool: Tool) -> String {
    format!("devcluster.internal/{}:{}", tool.name(), tool.version())
}

/// All that the first container of a pod has to do is to be there; containerd ends it by SIGKILL.
fn pause(busybox: &Path) -> Image {
    let mut image = Image::of_program(PAUSE.into(), "busybox", busybox.to_owned());
    image.entrypoint.extend(["sleep".into(), "2147483647".into()]);
    image
}

/// An image with a shell and the tools that scripts expect.
pub(crate) fn shell(reference: String, busybox: &Path) -> Result<Image> {
    let applets = run(Command::new(busybox).arg("--list"))?;
    let links = applets
        .lines()
        .filter(|applet| *applet != "busybox")
        .map(|applet| (format!("bin/{applet}"), "busybox".to_owned()))
        .collect();
    let programs = vec![("bin/busybox".to_owned(), busybox.to_owned())];
    Ok(Image { reference, layer: Layer { programs, links }, entrypoint: vec!["/bin/sh".into()], user: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_name_only_images_that_are_made_here() {
        let mut made: Vec<_> = TOOLS.into_iter().map(reference).collect();
        made.push("devcluster.internal/busybox:1".into());
        let mut named = 0;
        for line in MANIFESTS.iter().flat_map(|(_, text)| text.lines()) {
            if let Some(image) = line.trim().trim_start_matches("- ").strip_prefix("image: ") {
                assert!(made.iter().any(|reference| reference == image), "{image}");
                named += 1;
            }
        }
        assert_eq!(named, made.len());
    }

    #[test]
    fn pods_of_the_addons_stay_on_the_node_that_has_their_images() {
        let deployments = MANIFESTS.iter().map(|(_, text)| text.matches("kind: Deployment").count());
        let selector = HOME.replace('=', ": ").replace("true", "\"true\"");
        let selectors = MANIFESTS.iter().map(|(_, text)| text.matches(&selector).count());
        assert_eq!(deployments.collect::<Vec<_>>(), selectors.collect::<Vec<_>>());
    }
}
