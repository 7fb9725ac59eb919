//! What is in a chart on this machine, a folder or an archive: its own description, and the digest of all its files. It is read
//! to the end, and nothing in it may be, or lead, outside of it: helm would find that out in the middle of a run, or not at all.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry};

use super::add;
use crate::manifest::hex;

/// The file in which a chart says what it is.
const DESCRIPTION: &str = "Chart.yaml";

/// As large as helm takes an archive, with everything unpacked.
const LARGEST: u64 = 100 << 20;

/// A chart as it was read.
pub(super) struct Content {
    /// The text of its `Chart.yaml`.
    pub(super) description: String,
    /// The SHA-256 of all its files, in hexadecimal digits.
    pub(super) digest: String,
}

/// Reads a chart.
///
/// # Errors
/// What is wrong with it, as a fragment that speaks of the chart as `it`.
pub(super) fn read(path: &Path) -> io::Result<Content> {
    let found = path.metadata()?;
    if found.is_dir() {
        folder(path)
    } else if found.is_file() && found.len() <= LARGEST {
        archive(&fs::read(path)?)
    } else {
        Err(wrong(&format!("it is no folder, and no archive of {} MiB at most", LARGEST >> 20)))
    }
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn without_description() -> io::Error {
    wrong(&format!("it has no {DESCRIPTION}"))
}

fn archive(bytes: &[u8]) -> io::Result<Content> {
    let mut unpacked = GzDecoder::new(bytes).take(LARGEST);
    let description = description(&mut unpacked);
    if unpacked.limit() == 0 {
        return Err(wrong(&format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    let description = description?.ok_or_else(without_description)?;
    Ok(Content { description, digest: hex(&Sha256::digest(bytes)) })
}

/// Reads an archive to its end, for the text of its description.
fn description(unpacked: &mut impl Read) -> io::Result<Option<String>> {
    let mut description = None;
    for entry in Archive::new(&mut *unpacked).entries()? {
        let entry = entry?;
        if is_description(&entry)? && description.replace(io::read_to_string(entry)?).is_some() {
            return Err(wrong(&format!("it has two files {DESCRIPTION}")));
        }
    }
    // The checksum stands at the end, behind all that there is to unpack.
    io::copy(unpacked, &mut io::sink())?;
    Ok(description)
}

/// Looks at a part of an archive; tells whether it is `NAME/Chart.yaml`. The charts that a chart contains have theirs further
/// down.
fn is_description(entry: &Entry<'_, impl Read>) -> io::Result<bool> {
    let kind = entry.header().entry_type();
    // Helm takes both for what stands between the parts of a path.
    let path = String::from_utf8_lossy(&entry.path_bytes()).replace('\\', "/");
    if !(kind.is_file() || kind.is_dir() || kind.is_pax_global_extensions()) {
        return Err(wrong(&format!("{path} in it is neither a file nor a folder")));
    }
    let leads_out =
        Path::new(&path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    if leads_out || path.contains("//") {
        return Err(wrong(&format!("{path} in it leads out of it")));
    }
    // Helm takes the first part away, whatever it is called.
    match path.split_once('/') {
        Some((_, inner)) => Ok(kind.is_file() && inner == DESCRIPTION),
        None if kind.is_file() => Err(wrong(&format!("{path} in it is in no folder"))),
        None => Ok(false),
    }
}

fn folder(root: &Path) -> io::Result<Content> {
    let mut hash = Sha256::new();
    walk(root, root, &mut hash)?;
    let description = fs::read_to_string(root.join(DESCRIPTION)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => without_description(),
        _ => error,
    })?;
    Ok(Content { description, digest: hex(&hash.finalize()) })
}

/// Hashes all files below a folder, in an order that does not depend on the file system.
fn walk(root: &Path, folder: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut entries: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root).unwrap_or(&path);
        if path.is_symlink() {
            let target = path.canonicalize()?;
            // One that stands in what it leads to would be followed without end.
            if !target.starts_with(root) || path.starts_with(&target) {
                return Err(wrong(&format!(
                    "the link {} in it leads out of it, or round in it",
                    name.display()
                )));
            }
        }
        let found = path.metadata()?;
        if found.is_dir() {
            walk(root, &path, hash)?;
        } else if found.is_file() {
            add(hash, &[name.as_os_str().as_encoded_bytes(), &fs::read(&path)?]);
        } else {
            return Err(wrong(&format!("{} in it is neither a file nor a folder", name.display())));
        }
    }
    Ok(())
}
