//! A whole node on this machine: kubelet, containerd, cluster DNS and storage, in namespaces of its own.
//! It outlives the process that starts it. Everything of it is held by one process and lies in one folder, so that
//! it can be taken away without a trace whatever has happened to it.

mod addons;
mod cgroups;
mod images;
mod layout;
mod load;
mod network;
mod packages;
mod pinned;
mod reference;
mod registry;
mod runtime;
mod sandbox;
mod services;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use crate::node::load::Source;

use crate::kubeconfig::UserConfig;
use crate::node::layout::Layout;
use crate::node::network::Subnet;
use crate::node::reference::Reference;
use crate::node::runtime::Runtime;
use crate::process::{last_lines, run};
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
const API_DEADLINE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(100);

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

    fn programs(&self) -> Result<Programs> {
        require_linux_and_root()?;
        packages::ensure(self.progress)?;
        let mut node = tools(&[&PROGRAMS[..], &addons::TOOLS].concat(), self.progress)?;
        let addons = node.split_off(PROGRAMS.len());
        Ok(Programs { node, addons })
    }

    fn make(&self, programs: &Programs) -> Result<()> {
        let (subnet, guard) = Subnet::choose()?;
        self.layout.create()?;
        for program in &programs.node {
            place(program, &self.layout.path("bin"))?;
        }
        services::write(&self.layout, &self.name, subnet)?;
        cgroups::create(&self.name)?;
        let node = subnet.node();
        let names = sandbox::Names { node: &self.name, address: &node, gateway: &subnet.host() };
        let init = sandbox::start(&self.layout, &names)?;
        network::connect(&self.name, subnet, init)?;
        drop(guard);

        let images = addons::images(&programs.addons)?;
        thread::scope(|scope| {
            let importing = scope.spawn(|| Runtime::connect(&self.layout)?.import(&images));
            self.wait_for_api()?;
            self.progress.say(format!("the API server is ready at https://{node}:{}", services::API_PORT));
            importing.join().expect("importing does not panic").map(drop)
        })?;
        File::create(self.layout.path("api-is-ready"))?;
        self.install_addons()?;
        self.tell_user(&node)?;
        File::create(self.layout.path("complete"))?;
        Ok(())
    }

    fn wait_for_api(&self) -> Result<()> {
        let deadline = Instant::now() + API_DEADLINE;
        while self.kubectl(["get", "--raw=/readyz"]).is_err() {
            let log = |name: &str| fs::read_to_string(self.layout.path("log").join(name)).unwrap_or_default();
            if sandbox::find(&self.layout)?.is_none() {
                bail!("the node ended: {}", last_lines(&log("init.log")));
            }
            if Instant::now() > deadline {
                bail!("the API server is not ready: {}", last_lines(&log("kube-apiserver.log")));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn install_addons(&self) -> Result<()> {
        let folder = self.layout.path("addons");
        fs::create_dir_all(&folder)?;
        for (name, text) in addons::MANIFESTS {
            fs::write(folder.join(name), text)?;
        }
        self.kubectl(["apply", "--server-side", "--filename", &folder.display().to_string()])?;
        let node = format!("node/{}", self.name);
        self.kubectl(["wait", "--for=create", &node, "--timeout=60s"])?;
        self.kubectl(["wait", "--for=condition=Ready", &node, "--timeout=60s"])?;
        self.progress.say(format!("{node} is ready"));
        for deployment in ["coredns", "local-path-provisioner", "metrics-server"] {
            let deployment = format!("deployment/{deployment}");
            self.kubectl(["rollout", "status", "--namespace=kube-system", "--timeout=2m", &deployment])
                .with_context(|| format!("{deployment} -n kube-system is not ready"))?;
        }
        let metrics = "apiservice/v1beta1.metrics.k8s.io";
        self.kubectl(["wait", "--for=condition=Available", metrics, "--timeout=60s"])?;
        self.progress.say(
            "cluster DNS, local-path storage and metrics are ready; ingress class traefik has no controller",
        );
        Ok(())
    }

    /// Adds the context to the user's client configuration. What is to be undone is written down first.
    fn tell_user(&self, address: &str) -> Result<()> {
        let kubectl = self.layout.path("bin/kubectl");
        let config = UserConfig::find(&kubectl)?;
        fs::write(self.layout.path("user-config.json"), serde_json::to_vec(&config)?)?;
        let server = format!("https://{address}:{}", services::API_PORT);
        config.add(&kubectl, &self.name, &server, &self.layout.path("pki"))
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
        remove_folder(self.layout.root())
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

/// Puts a program where the node sees it, whatever becomes of the cache; without a copy where that can be.
fn place(program: &Path, folder: &Path) -> Result<()> {
    let name = program.file_name().context("a program has a name")?;
    let original = program.canonicalize()?;
    let original_name = original.file_name().context("a program has a name")?;
    let placed = folder.join(original_name);
    if !placed.exists() && fs::hard_link(&original, &placed).is_err() {
        fs::copy(&original, &placed).with_context(|| format!("failed to copy {}", original.display()))?;
    }
    if name != original_name {
        std::os::unix::fs::symlink(original_name, folder.join(name))?;
    }
    Ok(())
}

/// Removes a folder with all in it, but never what somebody has mounted there.
fn remove_folder(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    if let Some(place) = places.map(Path::new).find(|place| place.starts_with(folder)) {
        bail!("{} is a mount that is not the node's; unmount it first", place.display());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Held by the one process that changes a node.
struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    fn take(path: &Path, progress: Progress) -> Result<Self> {
        loop {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = match File::create(path) {
                // The folder went with its last node, just now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                outcome => outcome.with_context(|| format!("failed to lock {}", path.display()))?,
            };
            if file.try_lock().is_err() {
                progress.say("waiting for another process that changes this node");
                file.lock()?;
            }
            // Whoever held it before may have removed the file; then this is a lock on nothing.
            if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|held| held.ino() == now.ino())) {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }

    fn remove(self) -> Result<()> {
        fs::remove_file(&self.path)?;
        Ok(self.file.unlock()?)
    }
}
