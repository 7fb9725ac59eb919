//! Where a chart comes from: a registry, a repository, or a folder of local charts; and what tells it from another.

use std::error::Error as StdError;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Exit};
use crate::manifest::hex;
use crate::stack::ReleaseSpec;
use crate::yaml;

mod content;

/// A chart, ready to be handed to helm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chart {
    /// A folder or archive on this machine.
    Local {
        /// Where it is, absolute.
        path: PathBuf,
        /// The SHA-256 of all its files, in hexadecimal digits.
        content: String,
    },
    /// A chart that helm fetches.
    Remote {
        /// `oci://…`, or a name within `repo`.
        chart: String,
        /// The repository's address.
        repo: Option<String>,
        /// The version.
        version: String,
        /// The digest, `sha256:…`.
        digest: Option<String>,
    },
}

/// What a chart says of itself.
#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

impl Chart {
    /// Finds the chart of a release: in the folder of local charts if there is one, else where the stack says.
    ///
    /// # Errors
    /// Exit 2 when the folder has no such chart, or one of another name or version.
    pub fn find(spec: &ReleaseSpec, charts: Option<&Path>) -> Result<Self, Error> {
        match charts {
            Some(folder) => local(spec, folder),
            None => Ok(Self::Remote {
                chart: spec.chart.clone(),
                repo: spec.repo.clone(),
                version: spec.version.clone(),
                digest: spec.digest.clone(),
            }),
        }
    }

    /// Takes the only file of a folder for the chart of a release, as it was fetched.
    ///
    /// # Errors
    /// Exit 3 when it is another chart, or none.
    pub(super) fn fetched(spec: &ReleaseSpec, folder: &Path) -> Result<Self, Error> {
        let found = fs::read_dir(folder).ok().and_then(|mut files| files.next()?.ok());
        let message =
            || Error::new(Exit::Preflight, format!("helm has fetched no chart for release {}", spec.release));
        check(spec, &found.ok_or_else(message)?.path(), &spec.chart)
            .map_err(|error| error.exiting(Exit::Preflight))
    }

    /// The digest of chart and values: as long as it stays, helm would install the same again.
    #[must_use]
    pub fn digest(&self, values: &[(String, String)]) -> String {
        let mut hash = Sha256::new();
        match self {
            Self::Local { content, .. } => add(&mut hash, &["local", content]),
            Self::Remote { chart, repo, version, digest } => {
                let (repo, digest) =
                    (repo.as_deref().unwrap_or_default(), digest.as_deref().unwrap_or_default());
                add(&mut hash, &["remote", chart, repo, version, digest]);
            }
        }
        for (_, text) in values {
            add(&mut hash, &[text]);
        }
        hex(&hash.finalize())
    }

    /// The flags that say where the chart comes from.
    pub(super) fn flags(&self) -> Vec<OsString> {
        match self {
            Self::Local { .. } => Vec::new(),
            Self::Remote { repo, version, .. } => {
                let repo = repo.iter().flat_map(|repo| ["--repo".into(), repo.into()]);
                ["--version".into(), version.into()].into_iter().chain(repo).collect()
            }
        }
    }

    /// The chart as helm's last argument.
    pub(super) fn argument(&self) -> OsString {
        match self {
            Self::Local { path, .. } => path.into(),
            Self::Remote { chart, digest: Some(digest), .. } => format!("{chart}@{digest}").into(),
            Self::Remote { chart, .. } => chart.into(),
        }
    }
}

fn local(spec: &ReleaseSpec, folder: &Path) -> Result<Chart, Error> {
    let name = chart_name(spec);
    let candidates = [name.to_owned(), format!("{name}.tgz"), format!("{name}-{}.tgz", spec.version)];
    let path = candidates.iter().map(|candidate| folder.join(candidate)).find(|path| path.exists());
    let path = path.and_then(|path| path.canonicalize().ok()).ok_or_else(|| {
        let message = format!("no chart {name} in {}", folder.display());
        Error::new(Exit::Usage, message).hint(format!("put it there as {}", candidates.join(" or ")))
    })?;
    check(spec, &path, &path.display())
}

/// Reads a chart on this machine, which must be the one that the stack names. Messages call it `called`.
fn check(spec: &ReleaseSpec, path: &Path, called: &impl fmt::Display) -> Result<Chart, Error> {
    let name = chart_name(spec);
    let unreadable = |error: Box<dyn StdError + Send + Sync>| {
        Error::new(Exit::Usage, format!("failed to read the chart {called}")).because(error)
    };
    let content = content::read(path).map_err(|error| unreadable(error.into()))?;
    let written: Value =
        yaml::document("Chart.yaml", &content.description).map_err(|error| unreadable(error.into()))?;
    if !written["apiVersion"].is_string() {
        return Err(unreadable("its Chart.yaml has no apiVersion".into()));
    }
    // Helm takes a version such as 1.10 for a number, and refuses it, unless it stands in quotes.
    let found: Metadata = serde_json::from_value(written).map_err(|error| unreadable(error.into()))?;
    if found.name != name || found.version != spec.version {
        let message = format!(
            "release {} wants the chart {name} {}, but {called} is {} {}",
            spec.release, spec.version, found.name, found.version
        );
        return Err(Error::new(Exit::Usage, message));
    }
    Ok(Chart::Local { path: path.to_owned(), content: content.digest })
}

fn chart_name(spec: &ReleaseSpec) -> &str {
    spec.chart.rsplit('/').next().unwrap_or_default()
}

/// Hashes parts with their lengths, so that no two lists of parts look the same.
fn add(hash: &mut Sha256, parts: &[impl AsRef<[u8]>]) {
    for part in parts {
        hash.update(part.as_ref().len().to_be_bytes());
        hash.update(part);
    }
}
