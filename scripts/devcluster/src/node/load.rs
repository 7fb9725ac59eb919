//! Gives every node the images that its pods will ask for: from their registry, built here, or a stand-in.
//! Whatever is a stand-in is called one, every time it is named.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::Progress;
use crate::cluster::addons;
use crate::node::images::{Image, Layer};
use crate::node::recipe::Recipe;
use crate::node::reference::Reference;
use crate::node::runtime::Runtimes;
use crate::node::{packages, registry};
use crate::tools::{Tool, tools};

/// Where images come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The registry where it answers, else a stand-in.
    #[default]
    RegistryOrStandIn,
    /// The real program, built from its Go module, where there is a recipe for it, else a stand-in; no registry is asked.
    Built,
    /// A stand-in, whether a registry answers or not.
    StandIn,
}

/// Loads images that a node does not have yet.
pub(crate) fn load(
    runtime: &Runtimes<'_>,
    references: &[Reference],
    source: Source,
    progress: Progress,
) -> Result<()> {
    let started = Instant::now();
    let present = runtime.references()?;
    let made = runtime.imported();
    let mut registries = Registries { source, progress, answers: BTreeMap::new() };
    let mut wanted = Vec::new();
    for reference in references {
        let name = reference.to_string();
        let (present, was_made) = (present.contains(&name), made.contains_key(&name));
        if present && !was_made {
            progress.say(format!("{name}: already there"));
        } else if present || !registries.pull(runtime, reference) {
            // One that is there already is made again, in case the program has changed since.
            let recipe = if source == Source::Built { Recipe::of(reference) } else { None };
            wanted.push((reference, recipe));
        }
    }
    Recipe::prepare(wanted.iter().filter_map(|(_, recipe)| *recipe), progress)?;
    let images = wanted.iter().map(|(reference, recipe)| match recipe {
        Some(recipe) => recipe.image(reference, progress),
        None => stand_in(reference, progress),
    });
    let images = images.collect::<Result<Vec<_>>>()?;
    let imported = runtime.import(&images)?;
    let mut stand_ins = 0;
    for (image, (_, recipe)) in images.iter().zip(&wanted) {
        let state = if imported.contains(&image.reference) { "" } else { " (already there)" };
        let what = recipe.map_or("a stand-in, not the real program", Recipe::describe);
        progress.say(format!("{}: {what}{state}", image.reference));
        stand_ins += usize::from(recipe.is_none_or(Recipe::is_stand_in));
    }
    let seconds = started.elapsed().as_secs_f32();
    progress.say(format!("{} images, {stand_ins} of them stand-ins, in {seconds:.1} s", references.len()));
    Ok(())
}

/// Each registry is asked once.
struct Registries {
    source: Source,
    progress: Progress,
    answers: BTreeMap<String, bool>,
}

impl Registries {
    fn pull(&mut self, runtime: &Runtimes<'_>, reference: &Reference) -> bool {
        if self.source != Source::RegistryOrStandIn || !self.answers(&reference.registry) {
            return false;
        }
        self.progress.say(format!("{reference}: pulling"));
        match runtime.pull(reference) {
            Ok(()) => true,
            Err(error) => {
                self.progress.say(format!("{reference}: a stand-in takes its place: {error:#}"));
                false
            }
        }
    }

    fn answers(&mut self, registry: &str) -> bool {
        let progress = self.progress;
        *self.answers.entry(registry.to_owned()).or_insert_with(|| {
            progress.say(format!("asking {registry}"));
            let outcome = registry::probe(registry);
            if let Err(error) = &outcome {
                progress.say(format!("{registry} does not answer ({error:#}): its images become stand-ins"));
            }
            outcome.is_ok()
        })
    }
}

/// Describes what takes an image's place.
fn stand_in(reference: &Reference, progress: Progress) -> Result<Image> {
    let name = reference.to_string();
    let busybox = || packages::find("busybox").context("busybox is missing");
    match reference.program() {
        // OpenEBS makes volumes much as local-path does, which is at hand and real; it reads its settings from the
        // environment and a ConfigMap, and knows none of OpenEBS' arguments.
        "provisioner-localpv" => {
            let mut image = addons::shell(name, &busybox()?)?;
            let program = build(Tool::LocalPathProvisioner, progress)?;
            image.layer.programs.push(("bin/local-path-provisioner".into(), program));
            image.entrypoint =
                ["/bin/sh", "-c", "exec local-path-provisioner start"].map(str::to_owned).into();
            Ok(image)
        }
        "linux-utils" => addons::shell(name, &busybox()?),
        role => {
            let program = build(Tool::StandIn, progress)?;
            let programs = vec![("bin/standin".to_owned(), program)];
            let entrypoint = vec!["/bin/standin".into(), format!("--as={role}"), "--".into()];
            Ok(Image { reference: name, layer: Layer { programs, links: Vec::new() }, entrypoint, user: 0 })
        }
    }
}

fn build(tool: Tool, progress: Progress) -> Result<PathBuf> {
    Ok(tools(&[tool], progress)?.remove(0))
}
