//! One process at a time changes a cluster.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::Progress;

/// Held by the one process that changes a cluster.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes it, and waits for whoever has it.
    pub(crate) fn take(path: &Path, progress: Progress) -> Result<Self> {
        loop {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = match File::create(path) {
                // The folder went with its last cluster, just now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                outcome => outcome.with_context(|| format!("failed to lock {}", path.display()))?,
            };
            if file.try_lock().is_err() {
                progress.say("waiting for another process that changes this cluster");
                file.lock()?;
            }
            // Whoever held it before may have removed the file; then this is a lock on nothing.
            if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|held| held.ino() == now.ino())) {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }

    /// Gives it back and leaves no file.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path)?;
        Ok(self.file.unlock()?)
    }
}
