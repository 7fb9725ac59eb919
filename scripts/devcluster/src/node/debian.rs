//! Programs out of Debian's packages, unpacked into the cache. Nothing is installed: a web server that is needed in an image
//! has no business on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::Progress;
use crate::cache::cache_folder;
use crate::node::packages;
use crate::process::run;

/// Gives a package's program and all that it is linked with: the path of each in an image, and where it lies here.
/// The libraries are this machine's own.
pub(crate) fn files(package: &str, path: &str, progress: Progress) -> Result<Vec<(String, PathBuf)>> {
    let program = unpack(package, progress)?.join(path);
    let linked = run(Command::new("ldd").arg(&program))
        .and_then(|output| libraries(&output))
        .with_context(|| format!("failed to find what {} is linked with", program.display()))?;
    let in_image = |library: &Path| library.to_string_lossy().trim_start_matches('/').to_owned();
    let mut files = vec![(path.to_owned(), program)];
    files.extend(linked.into_iter().map(|library| (in_image(&library), library)));
    Ok(files)
}

/// The folder of a package's files, fetched now if the cache has none.
pub(crate) fn unpack(package: &str, progress: Progress) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let folder = cache.join(format!("debian-{package}"));
    if folder.exists() {
        return Ok(folder);
    }
    if packages::find("apt-get").is_none() {
        bail!("failed to fetch Debian's package {package}: this machine has no apt-get");
    }
    progress.say(format!("fetching Debian's package {package}"));
    fs::create_dir_all(&cache)?;
    let work = tempfile::Builder::new().prefix(".debian-").tempdir_in(&cache)?;
    let download = || run(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(&work));
    if download().is_err() {
        // Lists that are missing or old name no package that is there.
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        download().with_context(|| format!("failed to fetch Debian's package {package}"))?;
    }
    let unpacked = work.path().join("unpacked");
    for entry in fs::read_dir(&work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(&unpacked))?;
        }
    }
    match fs::rename(&unpacked, &folder) {
        // Another run was quicker.
        Err(_) if folder.exists() => Ok(folder),
        outcome => outcome.map(|()| folder).context("failed to store the package"),
    }
}

/// Reads what `ldd` prints: the dynamic loader and the libraries, but for the kernel's own.
fn libraries(output: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in output.lines() {
        if line.contains("not found") {
            bail!("this machine lacks {}", line.trim());
        }
        found.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let output = "\tlinux-vdso.so.1 (0x00007f039adcb000)
\tlibcrypt.so.1 => /lib/x86_64-linux-gnu/libcrypt.so.1 (0x00007f039ac2a000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f039a41e000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f039adcd000)
";
        let found = libraries(output).expect("all are there");
        let expected = [
            "/lib/x86_64-linux-gnu/libcrypt.so.1",
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        let error = libraries("\tlibssl.so.3 => not found\n").expect_err("one is missing");
        assert!(error.to_string().contains("lacks libssl.so.3"), "{error}");
    }
}
