//! Where a chart comes from: a registry, a repository, or a folder of local charts; and what tells it from another.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Exit};
use crate::manifest::hex;
use crate::stack::ReleaseSpec;
use crate::yaml;

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
    let name = spec.chart.rsplit('/').next().unwrap_or_default();
    let candidates = [name.to_owned(), format!("{name}.tgz"), format!("{name}-{}.tgz", spec.version)];
    let path = candidates.iter().map(|candidate| folder.join(candidate)).find(|path| path.exists());
    let path = path.and_then(|path| path.canonicalize().ok()).ok_or_else(|| {
        let message = format!("no chart {name} in {}", folder.display());
        Error::new(Exit::Usage, message).hint(format!("put it there as {}", candidates.join(" or ")))
    })?;
    let unreadable = |error| {
        Error::new(Exit::Usage, format!("failed to read the chart {}", path.display())).because(error)
    };
    let (text, content) = read(&path).map_err(unreadable)?;
    let found: Metadata = yaml::document("Chart.yaml", &text)
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    if found.name != name || found.version != spec.version {
        let message = format!(
            "release {} wants the chart {name} {}, but {} is {} {}",
            spec.release,
            spec.version,
            path.display(),
            found.name,
            found.version
        );
        return Err(Error::new(Exit::Usage, message));
    }
    Ok(Chart::Local { path, content })
}

/// Reads a chart's own description, and the digest of all its files.
fn read(path: &Path) -> io::Result<(String, String)> {
    if path.is_dir() {
        let mut hash = Sha256::new();
        for file in files(path)? {
            let name = file.strip_prefix(path).unwrap_or(&file);
            add(&mut hash, &[name.as_os_str().as_encoded_bytes(), &fs::read(&file)?]);
        }
        Ok((fs::read_to_string(path.join("Chart.yaml"))?, hex(&hash.finalize())))
    } else {
        Ok((packed_description(path)?, hex(&Sha256::digest(fs::read(path)?))))
    }
}

/// All files below a folder, in an order that does not depend on the file system.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else {
            found.push(entry);
        }
    }
    Ok(found)
}

/// The `NAME/Chart.yaml` of a packed chart; the charts that it contains have theirs further down.
fn packed_description(archive: &Path) -> io::Result<String> {
    for entry in tar::Archive::new(GzDecoder::new(File::open(archive)?)).entries()? {
        let entry = entry?;
        let path = entry.path()?;
        if path.components().count() == 2 && path.ends_with("Chart.yaml") {
            return io::read_to_string(entry);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "it has no Chart.yaml"))
}

/// Hashes parts with their lengths, so that no two lists of parts look the same.
fn add(hash: &mut Sha256, parts: &[impl AsRef<[u8]>]) {
    for part in parts {
        hash.update(part.as_ref().len().to_be_bytes());
        hash.update(part);
    }
}
