//! The images that are built here around the real programs: what lies where in them, as in those that are released.
//! Alloy cannot be built; in its place comes an agent that does its work by a real Prometheus and a real exporter. nginx is
//! no Go module; Debian's does its work.

use anyhow::Result;

use crate::Progress;
use crate::node::debian;
use crate::node::images::{Image, Layer};
use crate::node::reference::Reference;
use crate::tools::{Tool, tools};

use Program::{Built, Debian};

/// How an image is made of real programs.
pub(crate) struct Recipe {
    /// The last part of the image's name.
    image: &'static str,
    /// The first is the one that the image is named after. The path of each has no leading slash.
    programs: &'static [(&'static str, Program)],
    entrypoint: &'static [&'static str],
    /// As whom the released image runs.
    user: u32,
}

/// Where a program comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// Its Go module.
    Built(Tool),
    /// Debian's package of this name, which has it at the same path.
    Debian(&'static str),
}

const RECIPES: &[Recipe] = &[
    Recipe {
        image: "prometheus",
        programs: &[("bin/prometheus", Built(Tool::Prometheus)), ("bin/promtool", Built(Tool::Promtool))],
        entrypoint: &["/bin/prometheus"],
        user: 65534,
    },
    Recipe {
        image: "loki",
        programs: &[("usr/bin/loki", Built(Tool::Loki))],
        entrypoint: &["/usr/bin/loki"],
        user: 10001,
    },
    Recipe {
        image: "kube-state-metrics",
        programs: &[("kube-state-metrics", Built(Tool::KubeStateMetrics))],
        entrypoint: &["/kube-state-metrics", "--port=8080", "--telemetry-port=8081"],
        user: 65534,
    },
    Recipe {
        image: "prometheus-adapter",
        programs: &[("adapter", Built(Tool::PrometheusAdapter))],
        entrypoint: &["/adapter"],
        user: 65534,
    },
    Recipe {
        image: "alloy",
        programs: &[
            ("bin/alloy", Built(Tool::Agent)),
            ("bin/prometheus", Built(Tool::Prometheus)),
            ("bin/node_exporter", Built(Tool::NodeExporter)),
        ],
        entrypoint: &["/bin/alloy"],
        user: 0,
    },
    // Those of the example.
    Recipe {
        image: "nginx-unprivileged",
        programs: &[("usr/sbin/nginx", Debian("nginx"))],
        entrypoint: &["/usr/sbin/nginx"],
        user: 101,
    },
    Recipe {
        image: "nginx-prometheus-exporter",
        programs: &[("usr/bin/nginx-prometheus-exporter", Built(Tool::NginxPrometheusExporter))],
        entrypoint: &["/usr/bin/nginx-prometheus-exporter"],
        user: 1001,
    },
    Recipe {
        image: "fortio",
        programs: &[("usr/bin/fortio", Built(Tool::Fortio))],
        entrypoint: &["/usr/bin/fortio"],
        user: 0,
    },
];

impl Recipe {
    /// Finds the recipe of an image, if there is one and it gives the very version that the reference asks for; whoever asks
    /// for `latest` takes any. Of what is not built here the version is Debian's, whatever is asked for.
    pub(crate) fn of(reference: &Reference) -> Option<&'static Self> {
        let recipe = RECIPES.iter().find(|recipe| recipe.image == reference.program())?;
        let plain = |version: &str| version.trim_start_matches('v').to_owned();
        let fits = match recipe.programs[0].1 {
            Built(Tool::Agent) | Debian(_) => true,
            Built(tool) => {
                reference.tag().is_some_and(|tag| tag == "latest" || plain(tag) == plain(&tool.release()))
            }
        };
        fits.then_some(recipe)
    }

    /// Whether what it gives is another program than the image's own.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.programs[0].1 == Built(Tool::Agent)
    }

    /// What the image is, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match self.programs[0].1 {
            Built(Tool::Agent) => {
                "a stand-in made of a real Prometheus agent and node_exporter, not the real program"
            }
            Built(_) => "built here from its Go module, the real program",
            Debian(_) => "made of Debian's package, the real program at Debian's version",
        }
    }

    /// Builds the programs of several recipes at once: what they share is then compiled once.
    pub(crate) fn prepare<'a>(recipes: impl IntoIterator<Item = &'a Self>, progress: Progress) -> Result<()> {
        let mut wanted = Vec::new();
        for (_, program) in recipes.into_iter().flat_map(|recipe| recipe.programs) {
            match program {
                Built(tool) => wanted.push(*tool),
                Debian(package) => drop(debian::unpack(package, progress)?),
            }
        }
        tools(&wanted, progress).map(drop)
    }

    /// Builds the programs of every recipe.
    pub(crate) fn prepare_all(progress: Progress) -> Result<()> {
        Self::prepare(RECIPES, progress)
    }

    /// Describes the image under a reference.
    pub(crate) fn image(&self, reference: &Reference, progress: Progress) -> Result<Image> {
        let mut programs = Vec::new();
        for (path, program) in self.programs {
            match program {
                Built(tool) => programs.push(((*path).to_owned(), tools(&[*tool], progress)?.remove(0))),
                Debian(package) => programs.extend(debian::files(package, path, progress)?),
            }
        }
        let entrypoint = self.entrypoint.iter().map(|word| (*word).to_owned()).collect();
        Ok(Image {
            reference: reference.to_string(),
            layer: Layer { programs, links: Vec::new() },
            entrypoint,
            user: self.user,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::node::pinned;

    #[test]
    fn what_is_built_is_what_the_stacks_pin() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut pinned = pinned::images(&root.join("manifests")).expect("readable");
        pinned.extend(pinned::images(&root.join("examples/severed-blog")).expect("readable"));
        for recipe in RECIPES {
            let pin = pinned.iter().find(|pin| pin.program() == recipe.image).expect(recipe.image);
            assert!(Recipe::of(pin).is_some(), "{pin}, but another version is built");
        }
    }

    #[test]
    fn another_version_than_the_one_built_has_no_recipe() {
        let of = |text| Recipe::of(&Reference::parse(text).expect("a reference")).map(|recipe| recipe.image);
        assert_eq!(of("prom/prometheus:v3.16.0"), Some("prometheus"));
        assert_eq!(of("prom/prometheus:latest"), Some("prometheus"));
        assert_eq!(of("prom/prometheus:v3.17.0"), None);
        assert_eq!(of("prom/prometheus:v0.316.0"), None);
        assert_eq!(of("grafana/alloy:v9.9.9"), Some("alloy"));
        assert_eq!(of("nginxinc/nginx-unprivileged:9.9"), Some("nginx-unprivileged"));
        assert_eq!(of("grafana/grafana:13.2.3"), None);
    }
}
