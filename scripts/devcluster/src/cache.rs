//! The folder outside the checkout in which built programs stay, one entry per module and version.
//! An entry is built in a folder of its own and moved into place whole; what is found is checked before use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::Progress;
use crate::process;
use crate::tools::{Build, Module, digest, sources};

/// The cache, open for use.
pub(crate) struct Cache {
    root: PathBuf,
}

/// What a complete entry says of itself, in `entry.json`.
#[derive(Serialize, Deserialize, PartialEq)]
struct Entry {
    sources: String,
    sizes: BTreeMap<String, u64>,
}

impl Cache {
    pub(crate) fn open() -> Result<Self> {
        let root = cache_folder()?;
        fs::create_dir_all(&root).with_context(|| format!("failed to create {}", root.display()))?;
        Ok(Self { root })
    }

    pub(crate) fn entry(&self, module: &Module) -> PathBuf {
        self.root.join(format!("{}-{}", module.folder, module.version))
    }

    /// Sees to it that every one of the modules is there; one process builds, others wait for it.
    pub(crate) fn ensure(&self, modules: &[&Module], progress: Progress) -> Result<()> {
        if modules.iter().all(|module| self.is_whole(module)) {
            return Ok(());
        }
        let lock = File::create(self.root.join("build.lock"))?;
        if lock.try_lock().is_err() {
            progress.say("waiting for another process that builds");
            lock.lock()?;
        }
        let missing: Vec<_> = modules.iter().filter(|module| !self.is_whole(module)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        announce(&missing, progress);
        for module in missing {
            let started = Instant::now();
            progress.say(format!("building {} {} …", module.folder, module.version));
            self.build(module)?;
            progress.say(format!("built {} in {} s", module.folder, started.elapsed().as_secs()));
        }
        // Gigabytes that nothing needs once the programs are stored. Whoever builds holds the lock.
        drop(fs::remove_dir_all(self.build_cache()));
        Ok(())
    }

    fn is_whole(&self, module: &Module) -> bool {
        let folder = self.entry(module);
        let Ok(text) = fs::read(folder.join("entry.json")) else {
            return false;
        };
        let Ok(entry) = serde_json::from_slice::<Entry>(&text) else {
            return false;
        };
        measure(module, &folder.join("bin")).is_ok_and(|found| found == entry)
    }

    fn build(&self, module: &Module) -> Result<()> {
        let work = tempfile::Builder::new().prefix(".build-").tempdir_in(&self.root)?;
        let (source, stored) = (work.path().join("source"), work.path().join("entry"));
        let bin = stored.join("bin");
        fs::create_dir_all(&source)?;
        fs::create_dir_all(&bin)?;
        for file in sources(module) {
            fs::write(source.join(file.path().file_name().unwrap_or_default()), file.contents())?;
        }
        for build in module.builds {
            self.go_build(module, build, &source, &bin)?;
        }
        fs::write(stored.join("entry.json"), serde_json::to_vec_pretty(&measure(module, &bin)?)?)?;
        let place = self.entry(module);
        if place.exists() {
            fs::rename(&place, work.path().join("replaced"))?;
        }
        fs::rename(&stored, &place).with_context(|| format!("failed to store {}", place.display()))
    }

    fn go_build(&self, module: &Module, build: &Build, source: &Path, bin: &Path) -> Result<()> {
        let (program, aliases) = build.programs.split_first().context("a build has a program")?;
        for alias in aliases {
            std::os::unix::fs::symlink(program, bin.join(alias))?;
        }
        let stamps: Vec<_> = module.stamp.iter().map(|stamp| format!("-X {stamp}")).collect();
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags"])
            .arg(format!("-s -w {}", stamps.join(" ")))
            .arg("-o")
            .arg(bin.join(program))
            .arg(build.package)
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .env("GOCACHE", self.build_cache());
        match process::run(&mut go) {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => {
                bail!("failed to build {}: the command go is missing (Go 1.26 or newer)", module.folder)
            }
            Err(error) => Err(error.context(format!("failed to build {} {}", module.folder, module.version))),
        }
    }

    fn build_cache(&self) -> PathBuf {
        self.root.join(".go-build")
    }
}

/// Says what will be built before the first of it is, and how long that takes.
fn announce(missing: &[&&Module], progress: Progress) {
    let minutes = |seconds: u64| seconds.div_ceil(60);
    for module in missing {
        let (name, version) = (module.folder, module.version);
        progress.say(format!("to be built once: {name} {version}, about {} min", minutes(module.seconds)));
    }
    let sum = missing.iter().map(|module| module.seconds).sum();
    progress.say(format!("in all about {} min on two cores; later runs find it in the cache", minutes(sum)));
}

fn is_not_found(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Reads what `bin` holds, as `entry.json` should have it.
fn measure(module: &Module, bin: &Path) -> Result<Entry> {
    let sizes = module
        .builds
        .iter()
        .flat_map(|build| build.programs)
        .map(|program| Ok(((*program).to_owned(), fs::metadata(bin.join(program))?.len())))
        .collect::<Result<_>>()?;
    Ok(Entry { sources: digest(module), sizes })
}

/// `DEVCLUSTER_CACHE`, or the user's cache folder.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("DEVCLUSTER_CACHE") {
        return Ok(folder.into());
    }
    let caches = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither DEVCLUSTER_CACHE nor XDG_CACHE_HOME nor HOME is set")?;
    Ok(caches.join("bootstrap-devcluster"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const HELLO: Module = Module {
        folder: "hello",
        version: "v1",
        builds: &[Build { package: ".", programs: &["hello"] }],
        stamp: &[],
        seconds: 5,
    };

    #[test]
    fn what_is_not_whole_is_built_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache { root: folder.path().to_owned() };
        let program = cache.entry(&HELLO).join("bin/hello");
        let says_hello = || {
            cache.ensure(&[&HELLO], Progress::none()).expect("built");
            // println of the language, not of its library: to standard error.
            let output = Command::new(&program).output().expect("it runs");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        fs::create_dir_all(program.parent().expect("it lies in a folder")).expect("created");
        fs::write(&program, "half").expect("written");
        assert_eq!(says_hello(), "hello\n", "after an entry was never finished");

        File::options().write(true).open(&program).and_then(|file| file.set_len(100)).expect("cut short");
        assert_eq!(says_hello(), "hello\n", "after the program was cut short");

        let names =
            fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("readable").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["build.lock", "hello-v1"], "nothing else is left");
    }

    #[test]
    fn two_who_need_the_same_build_it_once() {
        static BUILDS: AtomicUsize = AtomicUsize::new(0);
        let count = Progress(|line| {
            BUILDS.fetch_add(usize::from(line.starts_with("building")), Ordering::Relaxed);
        });
        let folder = tempfile::tempdir().expect("a folder");
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let cache = Cache { root: folder.path().to_owned() };
                    cache.ensure(&[&HELLO], count).expect("built");
                    assert!(cache.is_whole(&HELLO));
                });
            }
        });
        assert_eq!(BUILDS.load(Ordering::Relaxed), 1);
    }
}
