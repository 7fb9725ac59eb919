//! etcd and the API server on loopback: enough cluster for apply, conflict, watch and discovery.
//! Needs no root and no fixed port; what it starts ends with its owner, and its folder goes too.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::certs::{self, Identity, Pki};
use crate::components::{self, ApiServer, Etcd};
use crate::process::{self, Group};
use crate::{Progress, Tool, kubeconfig, tools};

/// Ready takes four to five seconds on two idle cores; a busy machine may take many times that.
const START_DEADLINE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);
const API_SERVER: &str = "kube-apiserver";
/// Starts with another port when the chosen one was taken in between.
const ATTEMPTS: usize = 3;

/// What a control plane is made of, beyond etcd and the API server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the context in its kubeconfigs.
    pub context: String,
    /// The version of the API server; all other programs are the newest.
    pub version: Version,
    /// Starts the controller manager and the scheduler as well.
    pub controllers: bool,
    /// Keeps an audit log: one line of JSON per request.
    pub audit: bool,
    /// Where a build of missing programs is reported.
    pub progress: Progress,
}

/// A Kubernetes that `bootstrap` works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that everything else here is, too.
    Newest,
    /// The one below which `bootstrap` refuses to work.
    Oldest,
}

impl Version {
    fn api_server(self) -> Tool {
        match self {
            Self::Newest => Tool::KubeApiserver,
            Self::Oldest => Tool::OldestKubeApiserver,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            context: "devcluster".to_owned(),
            version: Version::Newest,
            controllers: false,
            audit: false,
            progress: Progress::stderr(),
        }
    }
}

/// A running control plane; dropping it ends it.
pub struct ControlPlane {
    // Fields are dropped in this order: the programs before their folder.
    group: Group,
    folder: TempDir,
    pki: Pki,
    options: Options,
    port: u16,
    api_server: PathBuf,
    kubectl: PathBuf,
}

impl ControlPlane {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When a program cannot be built or started, or does not become ready.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts one with more than the least, and waits until it is ready.
    ///
    /// # Errors
    /// When a program cannot be built or started, or does not become ready.
    pub fn start_with(options: &Options) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::try_start(options.clone()) {
                Err(error) if attempt < ATTEMPTS && error.is::<PortTaken>() => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn try_start(options: Options) -> Result<Self> {
        if !cfg!(target_os = "linux") {
            bail!(
                "a control plane needs Linux: the kubelet, which shares its program, is built nowhere else"
            );
        }
        let wanted = [
            Tool::Kubectl,
            Tool::Etcd,
            options.version.api_server(),
            Tool::KubeControllerManager,
            Tool::KubeScheduler,
        ];
        let paths = tools(&wanted, options.progress)?;
        let [kubectl, etcd, api_server, controller_manager, scheduler] = &paths[..] else {
            bail!("the cache gave {} programs for {}", paths.len(), wanted.len());
        };
        let folder = tempfile::Builder::new().prefix("devcluster-").tempdir()?;
        let mut group = Group::start(folder.path())?;
        let pki =
            Pki::create(&folder.path().join("pki"), &["127.0.0.1", "localhost", "kubernetes.default.svc"])?;
        let port = free_port()?;

        let store = Etcd { folder: folder.path() };
        group.spawn("etcd", Command::new(etcd).args(store.arguments()), &folder.path().join("etcd.log"))?;
        fs::write(folder.path().join("audit-policy.yaml"), components::AUDIT_POLICY)?;
        let (api_server, kubectl) = (api_server.clone(), kubectl.clone());
        let mut plane = Self { group, folder, pki, options, port, api_server, kubectl };
        plane.spawn_api_server()?;
        let admin = plane.kubeconfig_for(&Identity::admin())?;
        fs::rename(admin, plane.kubeconfig())?;
        plane.wait_until_ready()?;
        if plane.options.controllers {
            plane.start_controllers(controller_manager, scheduler)?;
        }
        Ok(plane)
    }

    /// The administrator's client configuration.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Makes a client configuration for someone else; it authenticates by client certificate.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig_for(&self, identity: &Identity<'_>) -> Result<PathBuf> {
        let client = self.pki.client(identity)?;
        let text =
            kubeconfig::render(&self.options.context, &self.server_url(), &self.pki.authority, &client);
        let validity = if identity.expired { "-expired" } else { "" };
        let path = self.folder.path().join(format!("kubeconfig-{}{validity}", identity.user));
        certs::write_secret(&path, &text)?;
        Ok(path)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The audit log, if one was asked for.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.options.audit.then(|| self.folder.path().join("audit.log"))
    }

    /// Runs kubectl as the administrator and gives what it prints.
    ///
    /// # Errors
    /// When kubectl fails; the error holds its own words.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let mut kubectl = Command::new(&self.kubectl);
        // What kubectl remembers of a cluster is of no use to the next.
        kubectl.env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"));
        process::run(kubectl.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments))
    }

    /// Kills the API server, as a crash would, and returns when it is gone. What it has stored stays.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_api_server(&mut self) -> Result<()> {
        self.group.kill(API_SERVER)
    }

    /// Starts the API server again, where it was, and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, or does not become ready.
    pub fn start_api_server(&mut self) -> Result<()> {
        self.spawn_api_server()?;
        self.wait_until_ready()
    }

    /// Ends it and says whether its folder could be removed; dropping it does the same in silence.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn stop(self) -> Result<()> {
        drop(self.group);
        let path = self.folder.path().to_owned();
        self.folder.close().with_context(|| format!("failed to remove {}", path.display()))
    }

    fn spawn_api_server(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let server = ApiServer {
            etcd: Etcd { folder }.url(),
            pki: &folder.join("pki"),
            address: "127.0.0.1",
            port: self.port,
            advertise: None,
            audit_log: self.audit_log(),
            audit_policy: folder.join("audit-policy.yaml"),
        };
        let log = folder.join(format!("{API_SERVER}.log"));
        self.group.spawn(API_SERVER, Command::new(&self.api_server).args(server.arguments()), &log)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut listening = false;
        loop {
            self.check_alive()?;
            // Asking the socket costs nothing; kubectl is asked only once somebody listens.
            listening = listening || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            if listening && self.kubectl(["get", "--raw=/readyz"]).is_ok_and(|answer| answer == "ok") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the API server was not ready after {START_DEADLINE:?}: {}", self.log_of(API_SERVER));
            }
            thread::sleep(PAUSE);
        }
    }

    fn start_controllers(&mut self, controller_manager: &Path, scheduler: &Path) -> Result<()> {
        let (config, folder) = (self.kubeconfig(), self.folder.path().to_owned());
        let mut arguments = components::controller_manager(&config, &folder.join("pki"));
        // No kubelet gives signs of life of a node here, which would be NotReady after a minute.
        arguments.push("--controllers=*,-node-lifecycle-controller".into());
        self.group.spawn(
            "kube-controller-manager",
            Command::new(controller_manager).args(arguments),
            &folder.join("kube-controller-manager.log"),
        )?;
        self.group.spawn(
            "kube-scheduler",
            Command::new(scheduler).args(components::scheduler(&config)),
            &folder.join("kube-scheduler.log"),
        )
    }

    fn check_alive(&mut self) -> Result<()> {
        let Some((name, status)) = self.group.ended()? else {
            return Ok(());
        };
        let log = self.log_of(name);
        if log.contains("address already in use") {
            return Err(PortTaken.into());
        }
        bail!("{name} ended ({status}): {log}")
    }

    fn log_of(&self, name: &str) -> String {
        let log = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        process::last_lines(&log)
    }
}

/// Somebody took the port between our choosing it and the server's listening on it.
#[derive(Debug)]
struct PortTaken;

impl std::fmt::Display for PortTaken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the chosen port was taken")
    }
}

impl std::error::Error for PortTaken {}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
