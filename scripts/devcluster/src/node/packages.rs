//! What a node needs of the machine's distribution, and its installation where that is possible.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::Progress;
use crate::process::run;

/// Programs, each with the Debian package that has it.
const PROGRAMS: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ipset", "ipset"),
    ("socat", "socat"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
];
const CNI_PACKAGE: &str = "containernetworking-plugins";
/// Where distributions put the CNI plug-ins.
const CNI_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, by `apt-get` where there is one, or names it.
pub(crate) fn ensure(progress: Progress) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        bail!("missing on this machine: {list} (named as in Debian)");
    }
    progress.say(format!("installing {list}"));
    let _no_services = NoServices::start()?;
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "--quiet"])?;
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install).with_context(|| format!("failed to install {list}"))?;
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let programs =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package);
    programs.chain(cni_folder().is_none().then_some(CNI_PACKAGE)).collect()
}

/// Finds a program; root's search path may lack the system's own folders.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    SYSTEM_PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// The folder that holds the CNI plug-ins.
pub(crate) fn cni_folder() -> Option<&'static str> {
    CNI_FOLDERS.into_iter().find(|folder| Path::new(folder).join("bridge").is_file())
}

/// Keeps the packages' services from being started while it lives: a node runs its own.
struct NoServices(bool);

impl NoServices {
    fn start() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self(false));
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self(true))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0 {
            drop(fs::remove_file(POLICY));
        }
    }
}
