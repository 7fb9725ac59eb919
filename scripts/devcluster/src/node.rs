//! A whole node on this machine: kubelet, containerd, cluster DNS and storage, in namespaces of its own.
//! It outlives the process that starts it. Everything of it is held by one process and lies in one folder, so that
//! it can be taken away without a trace whatever has happened to it.

mod addons;
mod cgroups;
mod images;
mod layout;
mod load;
mod lock;
mod network;
mod packages;
mod pinned;
mod reference;
mod registry;
mod runtime;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(not(target_os = "linux"))]
#[path = "node/sandbox_elsewhere.rs"]
mod sandbox;
mod services;
mod start;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

pub use crate::node::load::Source;

use crate::kubeconfig::UserConfig;
use crate::node::layout::Layout;
use crate::node::lock::Lock;
use crate::node::reference::Reference;
use crate::node::runtime::Runtime;
use crate::process::run;
use crate::{Progress, Tool, tools};

/// With it the host's end of the link has 15 characters, all that the kernel takes.
const LONGEST_NAME: usize = 12;
const PROGRAMS: [Tool; 7] = [
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kubelet,
    Tool::KubeProxy,
    Tool::Kubectl,
];

/// One node, which may run or not.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    state: PathBuf,
    layout: Layout,
    progress: Progress,
}

/// The programs of a node, built.
struct Programs {
    node: Vec<PathBuf>,
    addons: Vec<PathBuf>,
}

/// What there is of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Absent,
    /// Something, but it does not work as a whole.
    Broken,
    /// The node is ready.
    Ready,
}

impl Node {
    /// The name of a node, and of its context, if none is given.
    pub const NAME: &str = "devcluster";
    /// The folder that nodes lie in, if none is given.
    pub const STATE: &str = "/var/lib/bootstrap-devcluster";

    /// Names a node; none of it need exist.
    ///
    /// # Errors
    /// When the name is too long or holds other characters than lower-case letters, digits and dashes.
    pub fn new(name: &str, state: &Path, progress: Progress) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.len() > LONGEST_NAME
            || !name.bytes().all(plain)
            || name.trim_matches('-') != name
            || name.is_empty()
        {
            bail!("{name:?} is no name for a node: 1 to {LONGEST_NAME} of a-z, 0-9 and inner dashes");
        }
        let state = std::path::absolute(state)?;
        let layout = Layout::new(state.join(name));
        Ok(Self { name: name.to_owned(), state, layout, progress })
    }

    /// Installs and builds all that a node needs, which takes minutes on a new machine and nothing after that.
    ///
    /// # Errors
    /// When the machine lacks something that cannot be installed or built.
    pub fn prepare(&self) -> Result<()> {
        self.programs().map(drop)
    }

    /// Brings it up and waits until pods can run. A node that works is left as it is, any other is made anew.
    ///
    /// # Errors
    /// When the machine lacks something, or a part does not become ready.
    pub fn up(&self) -> Result<()> {
        let programs = self.programs()?;
        self.require_no_namesake()?;
        let _lock = Lock::take(&self.lock_path(), self.progress)?;
        match self.status()? {
            Status::Ready => {
                self.progress.say(format!("{} is up already", self.name));
                return Ok(());
            }
            Status::Broken => {
                self.progress.say(format!("{} is there but does not work: it is made anew", self.name));
                self.take_away()?;
            }
            Status::Absent => {}
        }
        let started = Instant::now();
        self.make(&programs).with_context(|| {
            format!("{} did not come up; its logs are in {}", self.name, self.layout.path("log").display())
        })?;
        self.progress.say(format!("{} is up after {:.1} s", self.name, started.elapsed().as_secs_f32()));
        Ok(())
    }

    /// Takes away every process, mount, link, cgroup and file of it, and its context.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub fn down(&self) -> Result<()> {
        require_linux_and_root()?;
        self.require_no_namesake()?;
        let lock = Lock::take(&self.lock_path(), self.progress)?;
        let there = self.status()? != Status::Absent;
        self.take_away()?;
        lock.remove()?;
        // Gone only with its last node.
        drop(fs::remove_dir(&self.state));
        let outcome = if there { "is down" } else { "was not up" };
        self.progress.say(format!("{} {outcome}", self.name));
        Ok(())
    }

    /// Loads images, by their references.
    ///
    /// # Errors
    /// When the node is not up, a reference cannot be read, or an image cannot be imported.
    pub fn load(&self, references: &[String], source: Source) -> Result<()> {
        let references =
            references.iter().map(|text| Reference::parse(text)).collect::<Result<BTreeSet<_>>>()?;
        self.load_all(references, source)
    }

    /// Loads every image that a folder of manifests and Helm values names.
    ///
    /// # Errors
    /// When the node is not up, a file cannot be read, or an image cannot be imported.
    pub fn load_stack(&self, folder: &Path, source: Source) -> Result<()> {
        self.load_all(pinned::images(folder)?, source)
    }

    fn load_all(&self, references: BTreeSet<Reference>, source: Source) -> Result<()> {
        require_linux_and_root()?;
        if sandbox::find(&self.layout)?.is_none() {
            bail!("{} is not up", self.name);
        }
        let references: Vec<_> = references.into_iter().collect();
        load::load(&Runtime::connect(&self.layout)?, &references, source, self.progress)
    }

    /// Finds out what there is of it.
    ///
    /// # Errors
    /// When the processes of this machine cannot be listed.
    pub fn status(&self) -> Result<Status> {
        let runs = sandbox::find(&self.layout)?.is_some();
        if !runs && !self.layout.root().exists() && !network::is_connected(&self.name) {
            return Ok(Status::Absent);
        }
        let whole = runs && self.layout.path("complete").exists() && self.is_ready();
        Ok(if whole { Status::Ready } else { Status::Broken })
    }

    /// Its administrator's client configuration.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// Runs kubectl as its administrator and gives what it prints.
    ///
    /// # Errors
    /// When kubectl fails; the error holds its own words.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let mut kubectl = Command::new(self.layout.path("bin/kubectl"));
        // What kubectl remembers of a cluster is of no use to the next.
        kubectl.env("KUBECACHEDIR", self.layout.path("kubectl-cache"));
        run(kubectl.arg("--kubeconfig").arg(self.layout.kubeconfig()).args(arguments))
    }

    fn require_no_namesake(&self) -> Result<()> {
        match sandbox::namesake(&self.layout)? {
            Some(folder) => bail!("another node named {} runs from {}", self.name, folder.display()),
            None => Ok(()),
        }
    }

    fn programs(&self) -> Result<Programs> {
        require_linux_and_root()?;
        packages::ensure(self.progress)?;
        let mut node = tools(&[&PROGRAMS[..], &addons::TOOLS].concat(), self.progress)?;
        let addons = node.split_off(PROGRAMS.len());
        Ok(Programs { node, addons })
    }

    fn is_ready(&self) -> bool {
        let condition = "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        self.kubectl(["get", "node", &self.name, condition, "--request-timeout=5s"])
            .is_ok_and(|status| status == "True")
    }

    fn take_away(&self) -> Result<()> {
        sandbox::stop(&self.layout)?;
        network::disconnect(&self.name)?;
        cgroups::remove(&self.name)?;
        if let Ok(text) = fs::read(self.layout.path("user-config.json")) {
            let config: UserConfig = serde_json::from_slice(&text)?;
            config.remove(&self.layout.path("bin/kubectl"), &self.name)?;
            fs::remove_file(self.layout.path("user-config.json"))?;
        }
        self.layout.remove()
    }

    fn lock_path(&self) -> PathBuf {
        self.state.join(format!("{}.lock", self.name))
    }
}

fn require_linux_and_root() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("a full node needs Linux: its namespaces, cgroups and containerd");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("a full node needs root: for namespaces, mounts and cgroups");
    }
    Ok(())
}
