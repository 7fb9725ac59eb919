//! The files of a stack: those in the binary, or those of a folder, and never one outside of it.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Exit};

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        /// Every file of the embedded stack; a test compares the list with the folder.
        const EMBEDDED: &[(&str, &str)] =
            &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/", $path)))),*];
    };
}

embed![
    "alloy/config.alloy",
    "alloy/daemonset.yaml",
    "alloy/monitoring-env.yaml",
    "alloy/rbac.yaml",
    "grafana-ingress.yaml",
    "grafana/dashboard-provider.yaml",
    "grafana/dashboards/hpa-live-status.json",
    "grafana/dashboards/severed-health.json",
    "grafana/datasources.yaml",
    "grafana/deployment.yaml",
    "grafana/service.yaml",
    "kube-state-metrics/values.yaml",
    "loki/local-config.yaml",
    "loki/service.yaml",
    "loki/statefulset.yaml",
    "namespace.yaml",
    "openebs/values.yaml",
    "prometheus-adapter/values.yaml",
    "prometheus/prometheus.yml",
    "prometheus/service.yaml",
    "prometheus/statefulset.yaml",
    "stack.yaml",
];

/// Larger than any manifest that a server would take.
const MAX_SIZE: u64 = 4 << 20;

/// What is wrong with a path that leads to nothing.
const MISSING: &str = "is not in the stack's folder";

/// Where a stack's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Binary,
    Folder(PathBuf),
}

impl Files {
    /// The files in the binary.
    #[must_use]
    pub fn embedded() -> Self {
        Self(Place::Binary)
    }

    /// The files of a folder.
    ///
    /// # Errors
    /// Exit 2 when there is no such folder.
    pub fn folder(path: &Path) -> Result<Self, Error> {
        let path = path.canonicalize().map_err(|error| {
            Error::new(Exit::Usage, format!("failed to open the stack folder {}", path.display()))
                .because(error)
        })?;
        Ok(Self(Place::Folder(path)))
    }

    /// Every embedded file with its text, for those who write them out.
    #[must_use]
    pub fn all_embedded() -> &'static [(&'static str, &'static str)] {
        EMBEDDED
    }

    /// Reads a file as text.
    ///
    /// # Errors
    /// Exit 2 when it is not there, leaves the folder, is no file, is too large or is no text.
    pub fn read(&self, path: &str) -> Result<Cow<'static, str>, Error> {
        let failed =
            |why: String| Error::new(Exit::Usage, format!("failed to read {path} of the stack: it {why}"));
        match &self.0 {
            Place::Binary => {
                let found = EMBEDDED.iter().find(|(name, _)| *name == path);
                found.map(|(_, text)| Cow::Borrowed(*text)).ok_or_else(|| failed(MISSING.to_owned()))
            }
            Place::Folder(folder) => {
                inside(folder, path).and_then(|file| text(&file)).map(Cow::Owned).map_err(failed)
            }
        }
    }

    /// Looks for a file or folder.
    ///
    /// # Errors
    /// What is wrong with the path, as a fragment that follows `which`.
    pub fn look_for(&self, path: &str) -> Result<(), String> {
        match &self.0 {
            Place::Binary if EMBEDDED.iter().any(|(name, _)| *name == path) => Ok(()),
            Place::Binary if self.list(path).is_empty() => Err(MISSING.to_owned()),
            Place::Binary => Ok(()),
            Place::Folder(folder) => inside(folder, path).map(drop),
        }
    }

    /// Lists the files directly in a folder of the stack, sorted; empty for what is no folder.
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<String> {
        let folder = folder.trim_end_matches('/');
        let mut files: Vec<String> = match &self.0 {
            Place::Binary => {
                let within = |name: &&str| name.rsplit_once('/').is_some_and(|(parent, _)| parent == folder);
                EMBEDDED.iter().map(|(name, _)| *name).filter(within).map(str::to_owned).collect()
            }
            Place::Folder(root) => inside(root, folder)
                .and_then(|folder| std::fs::read_dir(folder).map_err(|error| unreadable(&error)))
                .map(|entries| {
                    let names = entries.flatten().filter(|entry| entry.path().is_file());
                    names.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect()
                })
                .unwrap_or_default(),
        };
        files.sort();
        files
    }
}

/// Resolves a path of the stack; one that leaves the folder, by `..` or a link, is refused.
fn inside(folder: &Path, path: &str) -> Result<PathBuf, String> {
    let leaves = || "leaves the stack's folder".to_owned();
    if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(leaves());
    }
    let real = folder.join(path).canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => MISSING.to_owned(),
        _ => unreadable(&error),
    })?;
    if real.starts_with(folder) { Ok(real) } else { Err(leaves()) }
}

/// Reads a file that is one, since a pipe would be waited for, and that is not too large.
fn text(file: &Path) -> Result<String, String> {
    let found = file.metadata().map_err(|error| unreadable(&error))?;
    if !found.is_file() {
        return Err("is no file".to_owned());
    }
    if found.len() > MAX_SIZE {
        return Err(format!("is larger than {} MiB", MAX_SIZE >> 20));
    }
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => "is no text in UTF-8".to_owned(),
        _ => unreadable(&error),
    })
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_link_that_leaves_the_folder_is_refused() {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("stack");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(outer.path().join("outside.yaml"), "x").expect("written");
        std::os::unix::fs::symlink("../outside.yaml", folder.join("link.yaml")).expect("linked");
        let files = Files::folder(&folder).expect("there");
        for path in ["../outside.yaml", "link.yaml", "/etc/hostname"] {
            let message = files.read(path).expect_err(path).to_string();
            assert!(message.contains("leaves the stack's folder"), "{message}");
        }
    }

    #[test]
    fn every_file_under_manifests_is_embedded() {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    found.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
        let mut there = Vec::new();
        walk(&root, &root, &mut there);
        there.sort();
        let mut embedded: Vec<_> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        embedded.sort();
        assert_eq!(embedded, there);
    }
}
