//! A whole cluster on this machine: a control plane, and one node or several that run pods, in namespaces of their own.
//! It outlives the process that starts it. Everything of it is held by one process a node and lies in one folder, so that
//! it can be taken away without a trace whatever has happened to it.

pub(crate) mod addons;
mod control;
mod faults;
mod lock;
mod start;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

pub use crate::node::load::Source;

use crate::certs::{self, Identity, Pki};
use crate::cluster::lock::Lock;
use crate::kubeconfig::{self, UserConfig};
use crate::node::recipe::Recipe;
use crate::node::reference::Reference;
use crate::node::runtime::Runtimes;
use crate::node::{Node, cgroups, layout, load, network, packages, pinned, sandbox};
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

/// One cluster, which may run or not.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: String,
    state: PathBuf,
    folder: PathBuf,
    /// How many nodes are asked for, if anybody asks.
    nodes: Option<u8>,
    /// Whether an audit log is asked for.
    audit: bool,
    progress: Progress,
}

/// The programs of a cluster, built.
struct Programs {
    node: Vec<PathBuf>,
    addons: Vec<PathBuf>,
}

/// What there is of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Absent,
    /// Something, but it does not work as a whole, and why.
    Broken(String),
    /// Its nodes are ready, whose names these are.
    Ready(Vec<String>),
}

impl Cluster {
    /// The name of a cluster, and of its context, if none is given.
    pub const NAME: &str = "devcluster";
    /// The folder that clusters lie in, if none is given.
    pub const STATE: &str = "/var/lib/bootstrap-devcluster";
    /// How many nodes there can be. Their numbers have one digit, and more would only wait for the same processors.
    pub const MOST_NODES: u8 = 9;

    /// Names a cluster; none of it need exist.
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
            bail!("{name:?} is no name for a cluster: 1 to {LONGEST_NAME} of a-z, 0-9 and inner dashes");
        }
        let state = std::path::absolute(state)?;
        let folder = state.join(name);
        Ok(Self { name: name.to_owned(), state, folder, nodes: None, audit: false, progress })
    }

    /// Asks for so many nodes: the first is named like the cluster, the others `NAME-2` and so on.
    ///
    /// # Errors
    /// When there are none, or too many.
    pub fn with_nodes(self, count: u8) -> Result<Self> {
        if !(1..=Self::MOST_NODES).contains(&count) {
            bail!("a cluster has 1 to {} nodes, not {count}", Self::MOST_NODES);
        }
        Ok(Self { nodes: Some(count), ..self })
    }

    /// Asks for an audit log: one line of JSON per request. One that is up already is not made anew for it.
    #[must_use]
    pub fn with_audit_log(self) -> Self {
        Self { audit: true, ..self }
    }

    /// Installs and builds all that a cluster needs, which takes minutes on a new machine and nothing after that.
    /// Of the images that will be loaded it builds what that source takes.
    ///
    /// # Errors
    /// When the machine lacks something that cannot be installed or built.
    pub fn prepare(&self, source: Source) -> Result<()> {
        self.programs()?;
        if source == Source::Built {
            Recipe::prepare_all(self.progress)?;
        }
        Ok(())
    }

    /// Brings it up and waits until pods can run. One that works is left as it is, any other is made anew.
    ///
    /// # Errors
    /// When the machine lacks something, a part does not become ready, or it works with another number of nodes.
    pub fn up(&self) -> Result<()> {
        let programs = self.programs()?;
        self.require_no_namesake()?;
        let _lock = Lock::take(&self.lock_path(), self.progress)?;
        let there = self.nodes();
        let wanted = self.nodes.map_or(there.len().max(1), usize::from);
        match self.status()? {
            Status::Ready(names) if names.len() == wanted => {
                self.progress.say(format!("{} is up already", self.name));
                return Ok(());
            }
            Status::Ready(names) => bail!(
                "{name} has {}, not {wanted}; for another number take it down first: devcluster down --name {name} --state-dir {}",
                counted(&names),
                self.state.display(),
                name = self.name,
            ),
            Status::Broken(why) => {
                self.progress
                    .say(format!("{} is there but does not work ({why}): it is made anew", self.name));
                self.take_away()?;
            }
            Status::Absent => {}
        }
        let started = Instant::now();
        let nodes = self.first_nodes(wanted);
        self.make(&programs, &nodes).with_context(|| {
            let logs = self.folder.join("nodes/*/log");
            format!("{} did not come up; its logs are in {}", self.name, logs.display())
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
        // Gone only with its last cluster.
        drop(fs::remove_dir(&self.state));
        let outcome = if there { "is down" } else { "was not up" };
        self.progress.say(format!("{} {outcome}", self.name));
        Ok(())
    }

    /// Loads images, by their references.
    ///
    /// # Errors
    /// When the cluster is not up, a reference cannot be read, or an image cannot be imported.
    pub fn load(&self, references: &[String], source: Source) -> Result<()> {
        let references =
            references.iter().map(|text| Reference::parse(text)).collect::<Result<BTreeSet<_>>>()?;
        self.load_all(references, source)
    }

    /// Loads every image that a folder of manifests and Helm values names.
    ///
    /// # Errors
    /// When the cluster is not up, a file cannot be read, or an image cannot be imported.
    pub fn load_stack(&self, folder: &Path, source: Source) -> Result<()> {
        self.load_all(pinned::images(folder)?, source)
    }

    fn load_all(&self, references: BTreeSet<Reference>, source: Source) -> Result<()> {
        require_linux_and_root()?;
        let nodes = self.nodes();
        if !sandbox::any(&self.folder)? {
            bail!("{} is not up", self.name);
        }
        let references: Vec<_> = references.into_iter().collect();
        load::load(&Runtimes::connect(&nodes)?, &references, source, self.progress)
    }

    /// Finds out what there is of it.
    ///
    /// # Errors
    /// When the processes of this machine cannot be listed.
    pub fn status(&self) -> Result<Status> {
        if !sandbox::any(&self.folder)? && !self.folder.exists() && !network::is_connected(&self.name) {
            return Ok(Status::Absent);
        }
        let nodes = self.nodes();
        Ok(match self.defect(&nodes)? {
            Some(why) => Status::Broken(why),
            None => Status::Ready(nodes.into_iter().map(|node| node.name).collect()),
        })
    }

    /// Finds out what keeps it from working.
    fn defect(&self, nodes: &[Node]) -> Result<Option<String>> {
        for node in nodes {
            if !node.runs()? {
                return Ok(Some(format!("{} does not run", node.name)));
            }
        }
        if !self.folder.join("complete").exists() {
            return Ok(Some("it never came up as a whole".into()));
        }
        let ready = "{.metadata.name} {.status.conditions[?(@.type==\"Ready\")].status}";
        let template = format!("--output=jsonpath={{range .items[*]}}{ready}{{\"\\n\"}}{{end}}");
        let Ok(answer) = self.kubectl(["get", "nodes", &template, "--request-timeout=30s"]) else {
            return Ok(Some("its API server does not answer".into()));
        };
        let is_ready = |node: &&Node| answer.lines().any(|line| line == format!("{} True", node.name));
        Ok(nodes.iter().find(|node| !is_ready(node)).map(|node| format!("{} is not ready", node.name)))
    }

    /// Its administrator's client configuration.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Makes a client configuration for someone else; it authenticates by client certificate, and goes with the cluster.
    ///
    /// # Errors
    /// When the cluster is not up, or the file cannot be written.
    pub fn kubeconfig_for(&self, identity: &Identity<'_>) -> Result<PathBuf> {
        let pki = Pki::open(&self.first().layout.path("pki"))?;
        let server = kubeconfig::server(&self.kubeconfig())?;
        let text = kubeconfig::render(&self.name, &server, &pki.authority, &pki.client(identity)?);
        let path = self.folder.join(format!("kubeconfig-{}", identity.user));
        certs::write_secret(&path, &text)?;
        Ok(path)
    }

    /// Its audit log, if one was asked for when it came up.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.first().layout.path(control::AUDIT_LOG)
    }

    /// Runs kubectl as its administrator and gives what it prints.
    ///
    /// # Errors
    /// When kubectl fails; the error holds its own words.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let mut kubectl = Command::new(self.own_kubectl());
        // What kubectl remembers of a cluster is of no use to the next.
        kubectl.env("KUBECACHEDIR", self.folder.join("kubectl-cache"));
        run(kubectl.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments))
    }

    fn require_no_namesake(&self) -> Result<()> {
        match sandbox::namesake(&self.folder)? {
            Some(folder) => bail!("another cluster named {} runs from {}", self.name, folder.display()),
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

    fn take_away(&self) -> Result<()> {
        sandbox::stop(&self.folder)?;
        network::disconnect(&self.name)?;
        cgroups::remove(&self.name)?;
        if let Ok(text) = fs::read(self.folder.join("user-config.json")) {
            let config: UserConfig = serde_json::from_slice(&text)?;
            config.remove(&self.own_kubectl(), &self.name)?;
            fs::remove_file(self.folder.join("user-config.json"))?;
        }
        layout::remove(&self.folder)
    }

    /// The nodes that it was made of, of which each has a folder.
    fn nodes(&self) -> Vec<Node> {
        self.first_nodes(fs::read_dir(self.folder.join("nodes")).map_or(0, Iterator::count))
    }

    fn first_nodes(&self, count: usize) -> Vec<Node> {
        (0..Self::MOST_NODES).take(count).map(|place| Node::new(&self.name, place, &self.folder)).collect()
    }

    /// The node that runs the control plane.
    fn first(&self) -> Node {
        Node::new(&self.name, 0, &self.folder)
    }

    /// Its own copy of kubectl, which stays whatever becomes of the cache.
    fn own_kubectl(&self) -> PathBuf {
        self.first().layout.path("bin/kubectl")
    }

    fn lock_path(&self) -> PathBuf {
        self.state.join(format!("{}.lock", self.name))
    }
}

/// Such as `2 nodes`.
fn counted(nodes: &[String]) -> String {
    let many = if nodes.len() == 1 { "" } else { "s" };
    format!("{} node{many}", nodes.len())
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
