//! The containerd of each node, spoken to through `ctr`: which images it has, and giving it more.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::node::Node;
use crate::node::images::{self, Image};
use crate::node::layout::Layout;
use crate::node::reference::Reference;
use crate::process::{last_lines, run};

const PAUSE: Duration = Duration::from_millis(20);
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A slow line may need minutes for a large image; a registry that stops answering must not hold the run for ever.
const PULL_SECONDS: u32 = 600;

/// The containerds of several nodes, each of which is given the same.
pub(crate) struct Runtimes<'a>(Vec<Runtime<'a>>);

impl<'a> Runtimes<'a> {
    /// Waits until all of them answer.
    pub(crate) fn connect(nodes: impl IntoIterator<Item = &'a Node>) -> Result<Self> {
        nodes.into_iter().map(|node| Runtime::connect(&node.layout)).collect::<Result<_>>().map(Self)
    }

    /// The references of the images that all of them have.
    pub(crate) fn references(&self) -> Result<BTreeSet<String>> {
        let each = self.0.iter().map(Runtime::references).collect::<Result<Vec<_>>>()?;
        Ok(each.into_iter().reduce(|all, next| &all & &next).unwrap_or_default())
    }

    /// The images that were made here for any of them, each with its digest.
    pub(crate) fn imported(&self) -> BTreeMap<String, String> {
        self.0.iter().flat_map(Runtime::imported).collect()
    }

    /// Imports the images where they are not there already, and gives the references of those that were missing anywhere.
    pub(crate) fn import(&self, images: &[Image]) -> Result<BTreeSet<String>> {
        let Some(first) = self.0.first() else { return Ok(BTreeSet::new()) };
        let work = tempfile::Builder::new().prefix(".import-").tempdir_in(first.layout.root())?;
        let archive = work.path().join("images.tar");
        let digests = images::archive(images, &archive)?;
        thread::scope(|scope| {
            let each =
                self.0.iter().map(|runtime| scope.spawn(|| runtime.import(images, &archive, &digests)));
            // All begin before the first is waited for.
            let each: Vec<_> = each.collect();
            let mut missing = BTreeSet::new();
            for one in each {
                missing.extend(one.join().expect("importing does not panic")?);
            }
            Ok(missing)
        })
    }

    /// Pulls an image from its registry for each of them.
    pub(crate) fn pull(&self, reference: &Reference) -> Result<()> {
        self.0.iter().try_for_each(|runtime| runtime.pull(reference))
    }
}

/// A node's containerd.
struct Runtime<'a> {
    layout: &'a Layout,
}

impl<'a> Runtime<'a> {
    fn connect(layout: &'a Layout) -> Result<Self> {
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

    fn references(&self) -> Result<BTreeSet<String>> {
        let list = run(self.ctr().args(["images", "list", "--quiet"]))?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Imports an archive if any of its images is not there already, and gives the references of those.
    fn import(&self, images: &[Image], archive: &Path, digests: &[String]) -> Result<Vec<String>> {
        let (mut imported, present) = (self.imported(), self.references()?);
        let new: Vec<_> = images
            .iter()
            .zip(digests)
            .filter(|(image, digest)| {
                imported.get(&image.reference) != Some(*digest) || !present.contains(&image.reference)
            })
            .collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        run(self.ctr().args(["images", "import"]).arg(archive))?;
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
    fn pull(&self, reference: &Reference) -> Result<()> {
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
    fn imported(&self) -> BTreeMap<String, String> {
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
