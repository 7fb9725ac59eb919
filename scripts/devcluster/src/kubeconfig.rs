//! Client configuration: files of our own, and our entry in the user's.
//! The user's file is only ever changed by kubectl, so that everything else in it stays as it is.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::certs::Pair;
use crate::process::run;

/// Writes a whole client configuration with one context. JSON is YAML too.
pub(crate) fn render(context: &str, server: &str, authority: &str, client: &Pair) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": context, "user": {
            "client-certificate-data": STANDARD.encode(&client.certificate),
            "client-key-data": STANDARD.encode(&client.key),
        }}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    });
    format!("{config:#}\n")
}

/// Where the server is that a configuration made by [`render`] leads to.
pub(crate) fn server(config: &Path) -> Result<String> {
    let text = fs::read(config).with_context(|| format!("failed to read {}", config.display()))?;
    let config: serde_json::Value = serde_json::from_slice(&text)?;
    let server = config["clusters"][0]["cluster"]["server"].as_str();
    Ok(server.context("the configuration names no server")?.to_owned())
}

/// The user's own client configuration, as it was found when an entry was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UserConfig {
    /// One path or several, as `KUBECONFIG` has them.
    paths: String,
    /// Whether there was no such file before.
    made: bool,
    /// The context that was current before.
    current: Option<String>,
}

impl UserConfig {
    /// Finds it where kubectl would.
    pub(crate) fn find(kubectl: &Path) -> Result<Self> {
        let paths = match std::env::var("KUBECONFIG") {
            Ok(paths) if !paths.is_empty() => paths,
            _ => {
                let home = std::env::home_dir().context("neither KUBECONFIG nor HOME is set")?;
                home.join(".kube/config").display().to_string()
            }
        };
        let made = std::env::split_paths(&paths).all(|path| !path.exists());
        let mut config = Self { paths, made, current: None };
        config.current = config.current_context(kubectl);
        Ok(config)
    }

    /// Adds a context with its cluster and user, and makes it current.
    pub(crate) fn add(&self, kubectl: &Path, context: &str, server: &str, pki: &Path) -> Result<()> {
        let _turn = turn()?;
        let file = |option: &str, name: &str| format!("--{option}={}", pki.join(name).display());
        let (cluster, user) = (format!("--cluster={context}"), format!("--user={context}"));
        let (server, authority) = (format!("--server={server}"), file("certificate-authority", "ca.crt"));
        let (certificate, key) = (file("client-certificate", "admin.crt"), file("client-key", "admin.key"));
        self.config(kubectl, &["set-cluster", context, &server, &authority, "--embed-certs=true"])?;
        self.config(kubectl, &["set-credentials", context, &certificate, &key, "--embed-certs=true"])?;
        self.config(kubectl, &["set-context", context, &cluster, &user])?;
        self.config(kubectl, &["use-context", context])?;
        Ok(())
    }

    /// Takes the same out again and makes current what was; the file goes too if it held nothing before and holds nothing now.
    pub(crate) fn remove(&self, kubectl: &Path, context: &str) -> Result<()> {
        let _turn = turn()?;
        let contexts = self.config(kubectl, &["get-contexts", "--output=name"])?;
        if contexts.lines().any(|line| line == context) {
            if self.current_context(kubectl).as_deref() == Some(context) {
                match self.current.as_ref().filter(|before| contexts.lines().any(|line| line == *before)) {
                    Some(before) if before != context => self.config(kubectl, &["use-context", before])?,
                    _ => self.config(kubectl, &["unset", "current-context"])?,
                };
            }
            self.config(kubectl, &["delete-context", context])?;
            self.config(kubectl, &["delete-cluster", context])?;
            self.config(kubectl, &["delete-user", context])?;
        }
        if self.made && contexts.lines().all(|line| line == context) {
            for path in std::env::split_paths(&self.paths).filter(|path| path.exists()) {
                fs::remove_file(&path)?;
                // Its folder goes as well if it is empty; if it is not, it is not ours.
                drop(path.parent().map(fs::remove_dir));
            }
        }
        Ok(())
    }

    fn current_context(&self, kubectl: &Path) -> Option<String> {
        let answer = self.config(kubectl, &["current-context"]).ok()?;
        Some(answer.trim().to_owned()).filter(|context| !context.is_empty())
    }

    fn config(&self, kubectl: &Path, arguments: &[&str]) -> Result<String> {
        run(Command::new(kubectl).arg("config").args(arguments).env("KUBECONFIG", &self.paths))
    }
}

/// Waits for other processes that change a client configuration: of two kubectls that do so at once, one gives up.
fn turn() -> Result<File> {
    // A lock on a folder that is always there leaves nothing behind.
    let folder = File::open(std::env::temp_dir())?;
    folder.lock()?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::{Identity, Pki};
    use crate::{Tool, tool};

    #[test]
    fn clusters_that_start_at_once_all_get_their_entry() {
        let folder = tempfile::tempdir().expect("a folder");
        let kubectl = tool(Tool::Kubectl).expect("built");
        let pki = Pki::create(folder.path(), &[]).expect("an authority");
        let admin = pki.client(&Identity::admin()).expect("signed");
        admin.store(folder.path(), "admin").expect("written");
        let path = folder.path().join("kube/config");
        let config = UserConfig { paths: path.display().to_string(), made: true, current: None };
        let names: Vec<_> = (0..6).map(|number| format!("cluster-{number}")).collect();
        std::thread::scope(|threads| {
            for name in &names {
                threads.spawn(|| {
                    config.add(&kubectl, name, "https://127.0.0.1:1", folder.path()).expect("added");
                });
            }
        });
        let contexts = config.config(&kubectl, &["get-contexts", "--output=name"]).expect("read");
        assert_eq!(contexts.lines().collect::<Vec<_>>(), names);
    }
}
