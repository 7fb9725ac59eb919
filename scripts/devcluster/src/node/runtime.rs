//! The node's containerd, spoken to through `ctr`: which images it has, and giving it more.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::node::images::{self, Image};
use crate::node::layout::Layout;
use crate::node::reference::Reference;
use crate::process::{last_lines, run};

const PAUSE: Duration = Duration::from_millis(20);
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A slow line may need minutes for a large image; a registry that stops answering must not hold the run for ever.
const PULL_SECONDS: u32 = 600;

/// A node's containerd.
pub(crate) struct Runtime<'a> {
    layout: &'a Layout,
}

impl<'a> Runtime<'a> {
    /// Waits until containerd answers.
    pub(crate) fn connect(layout: &'a Layout) -> Result<Self> {
        let deadline = Instant::now() + START_DEADLINE;
        while UnixStream::connect(layout.socket()).is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(layout.path("log/containerd.log")).unwrap_or_default();
                bail!("containerd does not answer: {}", last_lines(&log));
            }
            thread::sleep(PAUSE);
        }
        Ok(Self { layout })
    }

    /// The references of all images that it has.
    pub(crate) fn references(&self) -> Result<Vec<String>> {
        let list = run(self.ctr().args(["images", "list", "--quiet"]))?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Imports those of the images that are not there already, and gives their references.
    pub(crate) fn import(&self, images: &[Image]) -> Result<Vec<String>> {
        let work = tempfile::Builder::new().prefix(".import-").tempdir_in(self.layout.root())?;
        let archive = work.path().join("images.tar");
        let digests = images::archive(images, &archive)?;
        let (mut imported, present) = (self.imported(), self.references()?);
        let new: Vec<_> = images
            .iter()
            .zip(&digests)
            .filter(|(image, digest)| {
                imported.get(&image.reference) != Some(*digest) || !present.contains(&image.reference)
            })
            .collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        run(self.ctr().args(["images", "import"]).arg(&archive))?;
        for image in images {
            let tag = images::tag(&image.reference);
            if tag != image.reference {
                run(self.ctr().args(["images", "tag", "--force", &tag, &image.reference]))?;
            }
        }
        imported.extend(new.iter().map(|(image, digest)| (image.reference.clone(), (*digest).clone())));
        self.remember(&imported)?;
        Ok(new.into_iter().map(|(image, _)| image.reference.clone()).collect())
    }

    /// Pulls an image from its registry. `ctr` does so from where it runs, which is the host.
    pub(crate) fn pull(&self, reference: &Reference) -> Result<()> {
        let mut pull = Command::new("timeout");
        pull.arg(PULL_SECONDS.to_string()).arg("ctr").args(self.options());
        run(pull.args(["images", "pull"]).arg(reference.to_string())).map(drop)?;
        let mut imported = self.imported();
        if imported.remove(&reference.to_string()).is_some() {
            self.remember(&imported)?;
        }
        Ok(())
    }

    /// The images that were made here, each with its digest.
    pub(crate) fn imported(&self) -> BTreeMap<String, String> {
        let text = fs::read(self.record()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn remember(&self, imported: &BTreeMap<String, String>) -> Result<()> {
        Ok(fs::write(self.record(), serde_json::to_vec_pretty(imported)?)?)
    }

    fn record(&self) -> PathBuf {
        self.layout.path("images.json")
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.args(self.options());
        command
    }

    fn options(&self) -> [OsString; 4] {
        ["--address".into(), self.layout.socket().into(), "--namespace".into(), "k8s.io".into()]
    }
}
