//! One helm at a time for a release, also when the run that started it was killed: helm goes on then, and the next run must
//! not work beside it.
//!
//! Each helm gets a locked file as its stdin, which is empty, and which the kernel unlocks when helm has ended, however it
//! does.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::cluster::Cluster;
use crate::error::{Error, Exit};
use crate::helm::{Release, Until};
use crate::manifest::hex;

/// Waits until no helm that an earlier run left works on a release.
///
/// # Errors
/// Exit 6 when it still does at the deadline, 130 when cancelled.
pub async fn settle(cluster: &Cluster, release: &Release, until: &Until) -> Result<(), Error> {
    take(cluster.target().context.as_deref().unwrap_or_default(), release, until).await.map(drop)
}

/// Takes the turn of a release; it ends when every copy of the file is closed.
pub(super) async fn take(context: &str, release: &Release, until: &Until) -> Result<File, Error> {
    let failed = |error: io::Error| {
        Error::new(Exit::Unexpected, format!("failed to lock {release} on this machine")).because(error)
    };
    let file = open(context, release).map_err(failed)?;
    let copy = file.try_clone().map_err(failed)?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    tokio::select! {
        locked = timeout_at(until.deadline, spawn_blocking(move || copy.lock())) => match locked {
            Ok(Ok(Ok(()))) => Ok(file),
            Ok(Ok(Err(error))) => Err(failed(error)),
            Ok(Err(panic)) => Err(failed(io::Error::other(panic))),
            Err(_) => Err(Error::new(Exit::Timeout, format!("a helm of an earlier run still works on {release}"))
                .hint("look at it: pgrep -a helm")),
        },
        () = until.cancelled.cancelled() => Err(Error::new(Exit::Interrupted, "interrupted")),
    }
}

fn open(context: &str, release: &Release) -> io::Result<File> {
    let folder = folder()?;
    let name = hex(&Sha256::digest(format!("{context}\n{release}"))[..8]);
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join(name))
}

/// A folder of this user's own.
fn folder() -> io::Result<PathBuf> {
    let user = geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("bootstrap-{user}"));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // In a place where all may write, another could have made it first.
    let found = folder.symlink_metadata()?;
    if found.is_dir() && found.uid() == user {
        Ok(folder)
    } else {
        Err(io::Error::other(format!("{} is not a folder of this user", folder.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_next_waits_for_a_helm_that_was_left_behind() {
        let release =
            Release { name: "left-behind".to_owned(), namespace: format!("test-{}", std::process::id()) };
        let turn = take("a", &release, &Until::after(Duration::from_secs(5))).await.expect("nobody has it");
        // What stands in for helm here does nothing until it is killed; the turn is its alone.
        let mut helm = Command::new("sh").args(["-c", "kill -STOP $$"]).stdin(turn).spawn().expect("started");
        let refused =
            take("a", &release, &Until::after(Duration::from_millis(200))).await.expect_err("it is there");
        assert_eq!(refused.exit(), Exit::Timeout);
        helm.kill().expect("killed");
        helm.wait().expect("ended");
        take("a", &release, &Until::after(Duration::from_secs(5))).await.expect("it has ended");
    }
}
