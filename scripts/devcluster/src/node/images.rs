//! Images made here, without a registry or a builder: one layer around static programs, as a docker-archive.
//! The same input gives the same bytes, so an image's digest tells whether it has been imported before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::tools::hex;

/// The image that holds a pod's namespaces.
pub(crate) const PAUSE: &str = "devcluster.internal/pause:1";

/// An image to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The whole reference, registry and all.
    pub(crate) reference: String,
    pub(crate) layer: Layer,
    pub(crate) entrypoint: Vec<String>,
    /// The number of the user that it runs as, unless its pod says otherwise.
    pub(crate) user: u32,
}

/// The files of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layer {
    /// Programs, by the path that each has in the image.
    pub(crate) programs: Vec<(String, PathBuf)>,
    /// Links in the image, each with its target.
    pub(crate) links: Vec<(String, String)>,
}

impl Image {
    /// An image around one program in `/bin`, which it runs.
    pub(crate) fn of_program(reference: String, name: &str, program: PathBuf) -> Self {
        let path = format!("bin/{name}");
        let entrypoint = vec![format!("/{path}")];
        let layer = Layer { programs: vec![(path, program)], links: Vec::new() };
        Self { reference, layer, entrypoint, user: 0 }
    }
}

/// Writes images into one archive and gives each one's digest.
pub(crate) fn archive(images: &[Image], path: &Path) -> Result<Vec<String>> {
    let file = File::create(path).with_context(|| format!("failed to write {}", path.display()))?;
    let mut archive = Builder::new(io::BufWriter::new(file));
    let mut layers = BTreeMap::new();
    for layer in images.iter().map(|image| &image.layer) {
        if !layers.contains_key(layer) {
            let mut bytes = Hashing::new(tempfile::tempfile()?);
            write_layer(layer, &mut bytes)?;
            let (mut file, digest) = bytes.finish()?;
            io::Seek::rewind(&mut file)?;
            let mut header = header(EntryType::Regular, file.metadata()?.len(), 0o644);
            archive.append_data(&mut header, format!("{digest}.tar"), file)?;
            layers.insert(layer, digest);
        }
    }
    let mut manifest = Vec::new();
    let mut digests = Vec::new();
    for image in images {
        let layer = &layers[&image.layer];
        let config = config(image, layer).to_string();
        let digest = hex(&Sha256::digest(&config));
        append(&mut archive, &format!("{digest}.json"), config.as_bytes())?;
        manifest.push(json!({
            "Config": format!("{digest}.json"),
            "RepoTags": [tag(&image.reference)],
            "Layers": [format!("{layer}.tar")],
        }));
        digests.push(digest);
    }
    append(&mut archive, "manifest.json", Value::from(manifest).to_string().as_bytes())?;
    archive.into_inner()?.flush()?;
    Ok(digests)
}

/// The name under which an archive can hold an image: one by digest needs a tag in its place.
pub(crate) fn tag(reference: &str) -> String {
    reference.split_once('@').map_or_else(|| reference.to_owned(), |(name, _)| format!("{name}:by-digest"))
}

fn write_layer(layer: &Layer, to: &mut impl Write) -> Result<()> {
    let mut tar = Builder::new(to);
    for folder in ["bin/", "etc/", "tmp/"] {
        let mode = if folder == "tmp/" { 0o1777 } else { 0o755 };
        tar.append_data(&mut header(EntryType::Directory, 0, mode), folder, io::empty())?;
    }
    for (path, program) in &layer.programs {
        let file = File::open(program).with_context(|| format!("failed to read {}", program.display()))?;
        let mut header = header(EntryType::Regular, file.metadata()?.len(), 0o755);
        tar.append_data(&mut header, path, file)?;
    }
    for (path, target) in &layer.links {
        tar.append_link(&mut header(EntryType::Symlink, 0, 0o777), path, target)?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

fn append(archive: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, bytes.len() as u64, 0o644);
    Ok(archive.append_data(&mut header, name, bytes)?)
}

/// A header without owner or time: nothing in an image should depend on when it was made.
fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

fn config(image: &Image, layer: &str) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": image.entrypoint, "Env": ["PATH=/bin"], "User": image.user.to_string()},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    })
}

/// A file that knows its own digest.
struct Hashing {
    file: io::BufWriter<File>,
    hash: Sha256,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self { file: io::BufWriter::with_capacity(1 << 20, file), hash: Sha256::new() }
    }

    fn finish(self) -> Result<(File, String)> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, hex(&self.hash.finalize())))
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
