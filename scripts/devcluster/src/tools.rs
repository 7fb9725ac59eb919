//! The programs a cluster is made of: which, at which version, and from which Go module.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use include_dir::{Dir, File, include_dir};
use sha2::{Digest as _, Sha256};

use crate::Progress;
use crate::cache::Cache;

/// A program that this crate can build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its program")]
pub enum Tool {
    KubeApiserver,
    OldestKubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubelet,
    KubeProxy,
    Kubectl,
    Etcd,
    Helm,
    Helm3,
    CoreDns,
    LocalPathProvisioner,
    MetricsServer,
    AlloySyntax,
    Prometheus,
    Promtool,
    NodeExporter,
    Loki,
    KubeStateMetrics,
    PrometheusAdapter,
    NginxPrometheusExporter,
    Fortio,
    Agent,
    StandIn,
}

/// A Go module under `go/`, and what one build of it gives.
pub(crate) struct Module {
    pub(crate) folder: &'static str,
    /// The version that the folder's go.mod requires.
    pub(crate) version: &'static str,
    /// All of them at once, so that what they share is compiled once.
    pub(crate) builds: &'static [Build],
    /// Variables set at link time.
    pub(crate) stamp: &'static [&'static str],
    /// Seconds that a build took on two cores with nothing in any cache.
    pub(crate) seconds: u64,
}

/// A main package, and the program that comes of it.
pub(crate) struct Build {
    pub(crate) package: &'static str,
    /// The first is the file, the others are links to it: names that it answers to.
    pub(crate) programs: &'static [&'static str],
}

/// Every version that a cluster is made of, but for Debian's own packages.
const MODULES: &[Module] = &[
    Module {
        folder: "kubernetes",
        version: "v1.37.2",
        builds: &[Build {
            package: ".",
            programs: &[
                "kubernetes",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            ],
        }],
        stamp: &[
            "k8s.io/component-base/version.gitVersion=v1.37.2",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=37",
        ],
        seconds: 480,
    },
    // The oldest that bootstrap works with: its preflight knows the number, too.
    Module {
        folder: "kubernetes-1.32",
        version: "v1.32.13",
        builds: &[Build { package: "k8s.io/kubernetes/cmd/kube-apiserver", programs: &["kube-apiserver"] }],
        stamp: &[
            "k8s.io/component-base/version.gitVersion=v1.32.13",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=32",
        ],
        seconds: 240,
    },
    Module {
        folder: "etcd",
        version: "v3.7.0",
        builds: &[Build { package: "go.etcd.io/etcd/server/v3", programs: &["etcd"] }],
        stamp: &[],
        seconds: 60,
    },
    Module {
        folder: "helm",
        version: "v4.3.1",
        builds: &[Build { package: "helm.sh/helm/v4/cmd/helm", programs: &["helm"] }],
        stamp: &["helm.sh/helm/v4/internal/version.version=v4.3.1"],
        seconds: 120,
    },
    Module {
        folder: "helm3",
        version: "v3.22.0",
        builds: &[Build { package: "helm.sh/helm/v3/cmd/helm", programs: &["helm"] }],
        stamp: &["helm.sh/helm/v3/internal/version.version=v3.22.0"],
        seconds: 120,
    },
    Module {
        folder: "coredns",
        version: "v1.15.0",
        builds: &[Build { package: ".", programs: &["coredns"] }],
        stamp: &[],
        seconds: 90,
    },
    Module {
        folder: "local-path-provisioner",
        version: "v0.0.30",
        builds: &[Build {
            package: "github.com/rancher/local-path-provisioner",
            programs: &["local-path-provisioner"],
        }],
        stamp: &[],
        seconds: 70,
    },
    Module {
        folder: "metrics-server",
        version: "v0.9.0",
        builds: &[Build {
            package: "sigs.k8s.io/metrics-server/cmd/metrics-server",
            programs: &["metrics-server"],
        }],
        stamp: &[],
        seconds: 120,
    },
    // Our own main around Alloy's parser and printer, which is all of Alloy that can be built from published modules.
    Module {
        folder: "alloy-syntax",
        version: "v0.1.1",
        builds: &[Build { package: ".", programs: &["alloy-syntax"] }],
        stamp: &[],
        seconds: 10,
    },
    // Release 3.16.0: as a module it counts from v0.300 on.
    Module {
        folder: "prometheus",
        version: "v0.316.0",
        builds: &[
            Build { package: "github.com/prometheus/prometheus/cmd/prometheus", programs: &["prometheus"] },
            Build { package: "github.com/prometheus/prometheus/cmd/promtool", programs: &["promtool"] },
        ],
        stamp: &["github.com/prometheus/common/version.Version=3.16.0"],
        seconds: 330,
    },
    Module {
        folder: "node_exporter",
        version: "v1.12.1",
        builds: &[Build { package: "github.com/prometheus/node_exporter", programs: &["node_exporter"] }],
        stamp: &["github.com/prometheus/common/version.Version=1.12.1"],
        seconds: 35,
    },
    Module {
        folder: "loki",
        version: "v3.7.8",
        builds: &[Build { package: "github.com/grafana/loki/v3/cmd/loki", programs: &["loki"] }],
        stamp: &["github.com/grafana/loki/v3/pkg/util/build.Version=3.7.8"],
        seconds: 330,
    },
    Module {
        folder: "kube-state-metrics",
        version: "v2.20.0",
        builds: &[Build { package: "k8s.io/kube-state-metrics/v2", programs: &["kube-state-metrics"] }],
        stamp: &["github.com/prometheus/common/version.Version=v2.20.0"],
        seconds: 130,
    },
    Module {
        folder: "prometheus-adapter",
        version: "v0.12.0",
        builds: &[Build {
            package: "sigs.k8s.io/prometheus-adapter/cmd/adapter",
            programs: &["prometheus-adapter"],
        }],
        stamp: &[],
        seconds: 130,
    },
    Module {
        folder: "nginx-prometheus-exporter",
        version: "v1.5.1",
        builds: &[Build {
            package: "github.com/nginx/nginx-prometheus-exporter",
            programs: &["nginx-prometheus-exporter"],
        }],
        stamp: &["github.com/prometheus/common/version.Version=1.5.1"],
        seconds: 60,
    },
    // Later ones need a module that no proxy serves.
    Module {
        folder: "fortio",
        version: "v1.68.2",
        builds: &[Build { package: "fortio.org/fortio", programs: &["fortio"] }],
        stamp: &[],
        seconds: 60,
    },
    // Ours, in place of images that no registry serves.
    Module {
        folder: "agent",
        version: "v1",
        builds: &[Build { package: ".", programs: &["agent"] }],
        stamp: &[],
        seconds: 120,
    },
    Module {
        folder: "standin",
        version: "v1",
        builds: &[Build { package: ".", programs: &["standin"] }],
        stamp: &[],
        seconds: 30,
    },
];

/// The modules' sources travel in the binary, so that it builds the same things wherever it stands.
static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/go");
static AGENT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/agent");
static STAND_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/standin");

impl Tool {
    /// Every tool there is.
    pub const ALL: &[Self] = &[
        Self::KubeApiserver,
        Self::OldestKubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Kubectl,
        Self::Etcd,
        Self::Helm,
        Self::Helm3,
        Self::CoreDns,
        Self::LocalPathProvisioner,
        Self::MetricsServer,
        Self::AlloySyntax,
        Self::Prometheus,
        Self::Promtool,
        Self::NodeExporter,
        Self::Loki,
        Self::KubeStateMetrics,
        Self::PrometheusAdapter,
        Self::NginxPrometheusExporter,
        Self::Fortio,
        Self::Agent,
        Self::StandIn,
    ];

    /// The name by which `devcluster tool` knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::OldestKubeApiserver => "kube-apiserver-1.32",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Helm => "helm",
            Self::Helm3 => "helm3",
            Self::CoreDns => "coredns",
            Self::LocalPathProvisioner => "local-path-provisioner",
            Self::MetricsServer => "metrics-server",
            Self::AlloySyntax => "alloy-syntax",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::NodeExporter => "node_exporter",
            Self::Loki => "loki",
            Self::KubeStateMetrics => "kube-state-metrics",
            Self::PrometheusAdapter => "prometheus-adapter",
            Self::NginxPrometheusExporter => "nginx-prometheus-exporter",
            Self::Fortio => "fortio",
            Self::Agent => "agent",
            Self::StandIn => "standin",
        }
    }

    /// The version that is built.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.module().version
    }

    /// The version by which the released program calls itself.
    pub(crate) fn release(self) -> String {
        // As a module, Prometheus counts v0.316.0 for v3.16.0.
        match (self, self.version().strip_prefix("v0.3")) {
            (Self::Prometheus | Self::Promtool, Some(rest)) => format!("v3.{rest}"),
            _ => self.version().to_owned(),
        }
    }

    fn module(self) -> &'static Module {
        let folder = match self {
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy
            | Self::Kubectl => "kubernetes",
            Self::OldestKubeApiserver => "kubernetes-1.32",
            Self::Promtool => "prometheus",
            other => other.name(),
        };
        MODULES.iter().find(|module| module.folder == folder).expect("every tool has its module in the table")
    }

    fn program(self) -> &'static str {
        match self {
            Self::OldestKubeApiserver => "kube-apiserver",
            Self::Helm3 => "helm",
            other => other.name(),
        }
    }
}

/// Gives the path of a tool, built now if the cache has none; says so on standard error.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn tool(tool: Tool) -> Result<PathBuf> {
    Ok(tools(&[tool], Progress::stderr())?.remove(0))
}

/// Gives the paths of several tools, in their order; those that the cache lacks are built one after the other.
///
/// # Errors
/// When Go is missing or a build fails.
pub fn tools(wanted: &[Tool], progress: Progress) -> Result<Vec<PathBuf>> {
    let cache = Cache::open()?;
    let mut modules: Vec<&Module> = Vec::new();
    for module in wanted.iter().map(|tool| tool.module()) {
        if !modules.iter().any(|known| known.folder == module.folder) {
            modules.push(module);
        }
    }
    cache.ensure(&modules, progress)?;
    Ok(wanted.iter().map(|tool| cache.entry(tool.module()).join("bin").join(tool.program())).collect())
}

/// The files that a module is built from.
pub(crate) fn sources(module: &Module) -> impl Iterator<Item = &'static File<'static>> {
    let folder = match module.folder {
        "agent" => &AGENT,
        "standin" => &STAND_IN,
        #[cfg(test)]
        "hello" => &tests::HELLO,
        other => SOURCES.get_dir(other).expect("every module in the table has its folder"),
    };
    folder.files().filter(|file| !file.path().to_string_lossy().ends_with("_test.go"))
}

/// Names the sources and the way they are built, so that a change to either makes an entry anew.
pub(crate) fn digest(module: &Module) -> String {
    let mut hash = Sha256::new();
    for file in sources(module) {
        hash.update(file.path().as_os_str().as_encoded_bytes());
        hash.update(file.contents());
    }
    for word in module.stamp.iter().chain(module.builds.iter().map(|build| &build.package)) {
        hash.update(word);
    }
    hex(&hash.finalize())
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A module that builds in seconds.
    pub(crate) static HELLO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/tests/hello");

    #[test]
    fn table_and_go_mod_name_the_same_version() {
        for module in MODULES.iter().filter(|module| module.version != "v1") {
            let text = sources(module)
                .find(|file| file.path().ends_with("go.mod"))
                .and_then(include_dir::File::contents_utf8)
                .expect("a module has a go.mod");
            let pinned = |line: &str| {
                let line = line.trim().trim_start_matches("require ");
                let (path, version) = line.split_once(' ').unwrap_or_default();
                let direct = module.builds.iter().any(|build| build.package.starts_with(path))
                    || !version.ends_with("// indirect");
                direct && version.trim_end_matches(" // indirect") == module.version
            };
            assert!(text.lines().any(pinned), "{} at {}", module.folder, module.version);
        }
    }

    #[test]
    fn programs_are_told_the_version_that_they_are() {
        for tool in Tool::ALL {
            let told = tool.module().stamp.iter().filter_map(|stamp| stamp.split_once("ersion="));
            for (_, version) in told {
                assert_eq!(version.trim_start_matches('v'), tool.release().trim_start_matches('v'));
            }
        }
    }

    #[test]
    fn every_tool_has_a_program_in_its_module() {
        for tool in Tool::ALL {
            let mut programs = tool.module().builds.iter().flat_map(|build| build.programs);
            assert!(programs.any(|program| *program == tool.program()), "{}", tool.name());
        }
    }
}
