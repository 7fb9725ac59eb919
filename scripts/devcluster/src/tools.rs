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
    StandIn,
}

/// A Go module under `go/`, and what one build of it gives.
pub(crate) struct Module {
    pub(crate) folder: &'static str,
    /// The version that the folder's go.mod requires.
    pub(crate) version: &'static str,
    pub(crate) package: &'static str,
    /// The first is the file, the others are links to it: names that it answers to.
    pub(crate) programs: &'static [&'static str],
    /// Variables set at link time.
    pub(crate) stamp: &'static [&'static str],
    /// Seconds that a build took on two cores with nothing in any cache.
    pub(crate) seconds: u64,
}

/// Every version that a cluster is made of, but for Debian's own packages.
const MODULES: [Module; 8] = [
    Module {
        folder: "kubernetes",
        version: "v1.37.2",
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
        stamp: &[
            "k8s.io/component-base/version.gitVersion=v1.37.2",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=37",
        ],
        seconds: 480,
    },
    Module {
        folder: "etcd",
        version: "v3.7.0",
        package: "go.etcd.io/etcd/server/v3",
        programs: &["etcd"],
        stamp: &[],
        seconds: 60,
    },
    Module {
        folder: "helm",
        version: "v4.3.1",
        package: "helm.sh/helm/v4/cmd/helm",
        programs: &["helm"],
        stamp: &["helm.sh/helm/v4/internal/version.version=v4.3.1"],
        seconds: 120,
    },
    Module {
        folder: "helm3",
        version: "v3.22.0",
        package: "helm.sh/helm/v3/cmd/helm",
        programs: &["helm"],
        stamp: &["helm.sh/helm/v3/internal/version.version=v3.22.0"],
        seconds: 120,
    },
    Module {
        folder: "coredns",
        version: "v1.15.0",
        package: ".",
        programs: &["coredns"],
        stamp: &[],
        seconds: 90,
    },
    Module {
        folder: "local-path-provisioner",
        version: "v0.0.30",
        package: "github.com/rancher/local-path-provisioner",
        programs: &["local-path-provisioner"],
        stamp: &[],
        seconds: 70,
    },
    Module {
        folder: "metrics-server",
        version: "v0.9.0",
        package: "sigs.k8s.io/metrics-server/cmd/metrics-server",
        programs: &["metrics-server"],
        stamp: &[],
        seconds: 120,
    },
    // Our own, which takes the place of images that no registry serves.
    Module {
        folder: "standin",
        version: "v1",
        package: ".",
        programs: &["standin"],
        stamp: &[],
        seconds: 30,
    },
];

/// The modules' sources travel in the binary, so that it builds the same things wherever it stands.
static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/go");
static STAND_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/standin");

impl Tool {
    /// Every tool there is.
    pub const ALL: [Self; 13] = [
        Self::KubeApiserver,
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
        Self::StandIn,
    ];

    /// The name by which `devcluster tool` knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
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
            Self::StandIn => "standin",
        }
    }

    /// The version that is built.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.module().version
    }

    fn module(self) -> &'static Module {
        let folder = match self {
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy
            | Self::Kubectl => "kubernetes",
            other => other.name(),
        };
        MODULES.iter().find(|module| module.folder == folder).expect("every tool has its module in the table")
    }

    fn program(self) -> &'static str {
        match self {
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
    for word in module.stamp.iter().chain([&module.package]) {
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
        for module in MODULES.iter().filter(|module| module.folder != "standin") {
            let text = sources(module)
                .find(|file| file.path().ends_with("go.mod"))
                .and_then(include_dir::File::contents_utf8)
                .expect("a module has a go.mod");
            let pinned = |line: &str| {
                let line = line.trim().trim_start_matches("require ");
                let (path, version) = line.split_once(' ').unwrap_or_default();
                let direct = module.package.starts_with(path) || !version.ends_with("// indirect");
                direct && version.trim_end_matches(" // indirect") == module.version
            };
            assert!(text.lines().any(pinned), "{} at {}", module.folder, module.version);
        }
    }

    #[test]
    fn every_tool_has_a_program_in_its_module() {
        for tool in Tool::ALL {
            assert!(tool.module().programs.contains(&tool.program()), "{}", tool.name());
        }
    }
}
