//! Calls the `helm` command, versions 3 and 4: the only place that spawns a process, but for the login of a kubeconfig.
//!
//! What is to be done is decided in `decision.rs` from what `record.rs` has read; nothing here waits for workloads, the engine
//! does. No secret is ever among the arguments.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::cluster::Target;
use crate::error::{Error, Exit};
use crate::helm::process::{Ended, OnStop};
use crate::helm::version::Version;
use crate::object::Object;
use crate::stack::ReleaseSpec;

pub use crate::helm::chart::Chart;
pub use crate::helm::decision::{Decision, Drift, Refusal, Repair, Seen, Work, decide};
pub use crate::helm::process::Until;
pub use crate::helm::record::{Record, Status, records};
pub use crate::helm::turn::settle;

mod chart;
mod decision;
mod process;
mod record;
mod turn;
mod version;

/// How many revisions of a release helm keeps: enough to roll back once or twice, each is a Secret of some 40 kB.
const HISTORY: u32 = 3;

/// How long `helm version` may take; it speaks to nobody.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a chart may take to be fetched, some ten kilobytes; without a limit it would be the run's whole time.
const FETCH_TIMEOUT: Duration = Duration::from_mins(2);

/// How much earlier than our own the deadline is that helm gets, so that helm is the one to say what it waited for.
const MARGIN: Duration = Duration::from_secs(1);

const HOW_TO_GET_IT: &str = "brew install helm, or https://helm.sh/docs/intro/install";

/// What helm is told by its environment elsewhere and must not be told here: where to go, and how to keep its records.
const FOREIGN_VARIABLES: [&str; 13] = [
    "HELM_BURST_LIMIT",
    "HELM_DEBUG",
    "HELM_DRIVER_SQL_CONNECTION_STRING",
    "HELM_KUBEAPISERVER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEASUSER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_KUBETOKEN",
    "HELM_MAX_HISTORY",
    "HELM_NAMESPACE",
];

/// The name of one release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// The namespace that it lives in; helm does not make it.
    pub namespace: String,
}

impl fmt::Display for Release {
    /// Writes `release kube-state-metrics -n monitoring`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} -n {}", self.name, self.namespace)
    }
}

/// What `helm upgrade --install` needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a> {
    /// The chart.
    pub chart: &'a Chart,
    /// The values files, name and text, the later ones over the earlier.
    pub values: &'a [(String, String)],
    /// Whether fields are taken back that others own; helm 3 always does.
    pub force_conflicts: bool,
    /// Whether objects are taken that are not the release's.
    pub take_ownership: bool,
}

/// The helm command, found and bound to one cluster; not started before there is something for it to do.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    target: Target,
    version: OnceCell<Version>,
}

impl Helm {
    /// Looks for helm in `$BOOTSTRAP_HELM` or on the `PATH`. Nothing is started yet.
    ///
    /// # Errors
    /// Exit 3, with how to get it, when there is none.
    pub fn find(target: &Target) -> Result<Self, Error> {
        let program = match env::var_os("BOOTSTRAP_HELM").filter(|path| !path.is_empty()) {
            Some(path) => is_program(Path::new(&path)).then(|| path.clone().into()).ok_or_else(|| {
                Error::new(Exit::Preflight, format!("no program at $BOOTSTRAP_HELM ({})", path.display()))
            })?,
            None => on_path("helm").ok_or_else(|| {
                Error::new(Exit::Preflight, "the command helm is missing").hint(HOW_TO_GET_IT)
            })?,
        };
        Ok(Self::at(program, target))
    }

    /// Uses the helm at this path.
    #[must_use]
    pub fn at(program: PathBuf, target: &Target) -> Self {
        Self { program, target: target.clone(), version: OnceCell::new() }
    }

    /// Asks helm for its version, the first time only, and checks that it is one that this program can work with.
    ///
    /// # Errors
    /// Exit 3 when it does not run, is too old or too new.
    pub async fn version(&self) -> Result<&Version, Error> {
        self.version
            .get_or_try_init(|| async {
                let until = Until::after(VERSION_TIMEOUT);
                let mut command = self.command();
                command.args(["version", "--template", "{{.Version}}"]);
                let failed =
                    || Error::new(Exit::Preflight, format!("failed to run {}", self.program.display()));
                match process::run(&mut command, Stdio::null(), &until, OnStop::Interrupt).await {
                    Ok(Ended { success: true, output, .. }) => Version::supported(&output),
                    Ok(ended) => Err(failed().because(ended.words)),
                    Err(error) => Err(failed().because(error)),
                }
                .map_err(|error| error.hint(HOW_TO_GET_IT))
            })
            .await
    }

    /// Fetches a chart into an empty folder, and checks that it is the one that the stack names; one that is on this machine stays
    /// where it is.
    ///
    /// # Errors
    /// Exit 3 with helm's own words, also out of time, since nothing was changed; 130 when cancelled.
    pub async fn fetch(
        &self,
        spec: &ReleaseSpec,
        chart: Chart,
        folder: &Path,
        until: &Until,
    ) -> Result<Chart, Error> {
        let Chart::Remote { version, .. } = &chart else { return Ok(chart) };
        let mut command = self.command();
        command
            .arg("pull")
            .args(chart.flags())
            .arg("--destination")
            .arg(folder)
            .arg("--")
            .arg(chart.argument());
        let began = Instant::now();
        let until = Until { deadline: until.deadline.min(began + FETCH_TIMEOUT), ..until.clone() };
        match process::run(&mut command, Stdio::null(), &until, OnStop::Interrupt).await {
            Ok(ended) if ended.success => Chart::fetched(spec, folder),
            Ok(ended) => {
                let name = chart.argument();
                let limit = until.deadline.saturating_duration_since(began).as_secs();
                let within = if ended.is_late() { format!(" within {limit} s") } else { String::new() };
                let message = format!(
                    "failed to fetch the chart {} {version}{within}; --charts DIR takes it from a folder",
                    name.display()
                );
                let error = ended.into_error(&message, &until);
                Err(match error.exit() {
                    Exit::Interrupted => error,
                    _ => error.exiting(Exit::Preflight).hint(format!("helm pull {}", line(&chart))),
                })
            }
            Err(error) => Err(self.unstartable(error)),
        }
    }

    /// Installs a release, or upgrades it. Helm waits for its hooks only; workloads are for the caller to wait for.
    ///
    /// # Errors
    /// Exit 3 for an unusable helm, 4 for another owner, 6 out of time, 130 when cancelled, 1 when the API server went away
    /// under it or something else may pass, else 5; with helm's own words.
    pub async fn upgrade(
        &self,
        release: &Release,
        upgrade: &Upgrade<'_>,
        until: &Until,
    ) -> Result<(), Error> {
        let values = values_files(upgrade.values)?;
        let mut arguments: Vec<OsString> =
            vec!["--install".into(), "--history-max".into(), HISTORY.to_string().into()];
        for file in &values {
            arguments.extend(["--values".into(), file.path().into()]);
        }
        self.server_side(&mut arguments, upgrade.force_conflicts).await?;
        if upgrade.take_ownership && *self.version().await? >= version::TAKES_OWNERSHIP {
            arguments.push("--take-ownership".into());
        }
        arguments.extend(upgrade.chart.flags());
        arguments.extend(["--".into(), OsString::from(&release.name), upgrade.chart.argument()]);
        self.call("upgrade", "upgrade", release, arguments, until, OnStop::Interrupt).await
    }

    /// Renders what a release consists of, hooks and definitions of kinds included, as for this version of Kubernetes. Gets the
    /// chart where that is not local; speaks to no cluster. The objects have the namespaces that their templates write.
    ///
    /// # Errors
    /// Exit 3 for an unusable helm, 6 out of time, 130 when cancelled, else 5; with helm's own words.
    pub async fn template(
        &self,
        release: &Release,
        chart: &Chart,
        values: &[(String, String)],
        kubernetes: Option<&str>,
        until: &Until,
    ) -> Result<Vec<Object>, Error> {
        self.version().await?;
        let values = values_files(values)?;
        let mut command = self.command();
        command.args(["template", "--namespace", &release.namespace, "--include-crds", "--skip-tests"]);
        if let Some(version) = kubernetes {
            command.args(["--kube-version", version]);
        }
        for file in &values {
            command.arg("--values").arg(file.path());
        }
        command.args(chart.flags()).arg("--").arg(&release.name).arg(chart.argument());
        let failed = format!("failed to render the chart of {release}");
        match process::run(&mut command, Stdio::null(), until, OnStop::Interrupt).await {
            Ok(ended) if ended.success => {
                record::objects(&ended.output).map_err(|why| Error::new(Exit::Doomed, failed).because(why))
            }
            Ok(ended) => Err(ended.into_error(&failed, until)),
            Err(error) => Err(self.unstartable(error)),
        }
    }

    /// Goes back to an earlier revision: the way out for an upgrade that was killed.
    ///
    /// # Errors
    /// As [`Helm::upgrade`].
    pub async fn rollback(
        &self,
        release: &Release,
        revision: u32,
        force_conflicts: bool,
        until: &Until,
    ) -> Result<(), Error> {
        let mut arguments: Vec<OsString> = vec!["--history-max".into(), HISTORY.to_string().into()];
        self.server_side(&mut arguments, force_conflicts).await?;
        arguments.extend(["--".into(), OsString::from(&release.name), revision.to_string().into()]);
        self.call("rollback", "roll back", release, arguments, until, OnStop::LetFinish).await
    }

    /// Takes a release away and waits until its objects are gone; one that is gone already is no error.
    ///
    /// # Errors
    /// As [`Helm::upgrade`].
    pub async fn uninstall(&self, release: &Release, until: &Until) -> Result<(), Error> {
        self.version().await?;
        let arguments: Vec<OsString> =
            vec!["--ignore-not-found".into(), "--wait".into(), "--".into(), OsString::from(&release.name)];
        self.call("uninstall", "uninstall", release, arguments, until, OnStop::LetFinish).await
    }

    /// Helm 4 applies server-side only what it made that way, unless told; and only then can it force.
    async fn server_side(&self, arguments: &mut Vec<OsString>, force_conflicts: bool) -> Result<(), Error> {
        if self.version().await?.major >= 4 {
            arguments.push("--server-side=true".into());
            if force_conflicts {
                arguments.push("--force-conflicts".into());
            }
        }
        Ok(())
    }

    async fn call(
        &self,
        verb: &str,
        action: &str,
        release: &Release,
        arguments: Vec<OsString>,
        until: &Until,
        on_stop: OnStop,
    ) -> Result<(), Error> {
        let left = until.deadline.saturating_duration_since(Instant::now());
        let timeout = left.saturating_sub(MARGIN).as_secs().max(1);
        let mut command = self.command();
        command
            .arg(verb)
            .args(["--namespace", &release.namespace])
            .args(["--timeout", &format!("{timeout}s")])
            .args(arguments);
        let context = self.target.context.as_deref().unwrap_or_default();
        let turn = turn::take(context, release, until).await?;
        match process::run(&mut command, turn.into(), until, on_stop).await {
            Ok(ended) if ended.success => Ok(()),
            Ok(ended) => Err(ended.into_error(&format!("failed to {action} {release}"), until)),
            Err(error) => Err(self.unstartable(error)),
        }
    }

    fn unstartable(&self, error: io::Error) -> Error {
        Error::new(Exit::Preflight, format!("failed to run {}", self.program.display()))
            .because(error)
            .hint(HOW_TO_GET_IT)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        command.env("HELM_DRIVER", "secret").env("HELM_NO_PLUGINS", "1");
        if let Some(kubeconfig) = &self.target.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        if let Some(context) = &self.target.context {
            command.arg("--kube-context").arg(context);
        }
        command
    }
}

/// A chart as one would type it behind `helm pull`.
fn line(chart: &Chart) -> String {
    let words: Vec<_> = [chart.argument()].into_iter().chain(chart.flags()).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Files that only this user can read, gone when they are dropped.
fn values_files(files: &[(String, String)]) -> Result<Vec<NamedTempFile>, Error> {
    let write = |(_, text): &(String, String)| {
        let mut file = tempfile::Builder::new().prefix("bootstrap-values-").suffix(".yaml").tempfile()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    files.iter().map(write).collect::<io::Result<_>>().map_err(|error| {
        Error::new(Exit::Unexpected, "failed to write a temporary file with Helm values").because(error)
    })
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
