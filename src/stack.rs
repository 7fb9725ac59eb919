//! The schema of `stack.yaml`, and reading it: from the binary, or from a folder. What is wrong in it is said with file
//! and line, before anything else happens.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Spanned;

use crate::error::{Error, Exit};
use crate::timeout;
use crate::yaml::{self, YamlError};

pub use crate::stack::files::Files;

mod files;

/// The file that every stack has.
const STACK_FILE: &str = "stack.yaml";

/// The longest name that, with `bootstrap-` before it, is still a label value.
const MAX_NAME: usize = 40;

/// The longest name that helm takes for a release.
const MAX_RELEASE: usize = 53;

/// The longest name that the server takes for a namespace.
const MAX_NAMESPACE: usize = 63;

/// How many random characters a value may have: enough that nobody guesses them, and no more than any program takes.
const RANDOM: RangeInclusive<usize> = 8..=1024;

/// What is to be in the cluster, as data: steps, and the files beside them.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its name, which the inventory and the lease carry.
    pub name: String,
    /// The namespace of everything that names none.
    pub namespace: String,
    /// The steps, in the order of the file.
    pub steps: Vec<Step>,
    /// The files that the steps name.
    pub files: Files,
}

/// Which stack it is, and where: all that taking it away needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name, which the inventory and the lease carry.
    pub name: String,
    /// The namespace of everything that names none.
    pub namespace: String,
}

/// A part of the stack that becomes ready as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The steps whose objects must all be Current before it starts.
    pub needs: Vec<String>,
    /// Files and folders of manifests.
    pub manifests: Vec<String>,
    /// ConfigMaps that are made from files.
    pub config_maps: Vec<ConfigMapFiles>,
    /// A Secret that is made once.
    pub secret: Option<SecretSpec>,
    /// A Helm release.
    pub release: Option<ReleaseSpec>,
    /// Whether the release brings the storage class that is installed on request only.
    pub is_storage: bool,
    /// How long it may take; the run's own time when `None`.
    pub timeout: Option<Duration>,
    /// Where it stands in the file.
    pub line: u64,
}

/// A ConfigMap made from files, as kustomize's generator does, under a fixed name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigMapFiles {
    /// The ConfigMap's name.
    pub name: String,
    /// The files; each one's key is its file name.
    pub files: Vec<String>,
}

/// A Secret that is made once and kept ever after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSpec {
    /// The Secret's name.
    pub name: String,
    /// What each key holds.
    pub data: BTreeMap<String, SecretValue>,
}

/// Where a key of a Secret gets its value from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SecretValue {
    /// The value itself, which is no secret then.
    Value(String),
    /// So many random letters and digits.
    Random(usize),
}

/// A Helm release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// Its name.
    pub release: String,
    /// The namespace that it lives in; the stack's when `None`.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The chart: a name within `repo`, or a reference that begins with `oci://`.
    pub chart: String,
    /// The address of the chart's repository.
    #[serde(default)]
    pub repo: Option<String>,
    /// The chart's version.
    pub version: String,
    /// The digest of an `oci://` chart, `sha256:…`.
    #[serde(default)]
    pub digest: Option<String>,
    /// Files of values, the later ones over the earlier.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Stack {
    /// Loads the stack that is in the binary.
    ///
    /// # Errors
    /// When it is broken, which a test rules out.
    pub fn embedded() -> Result<Self, Error> {
        Self::read(Files::embedded())
    }

    /// Loads the stack of a folder.
    ///
    /// # Errors
    /// Exit 2 with file and line when it does not validate.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Self::read(Files::folder(folder)?)
    }

    fn read(files: Files) -> Result<Self, Error> {
        let written: Written = read(&files)?;
        Ok(written.validate(files)?)
    }
}

impl Head {
    /// Reads that of the stack in the binary.
    ///
    /// # Errors
    /// When it is broken, which a test rules out.
    pub fn embedded() -> Result<Self, Error> {
        Self::read(&Files::embedded())
    }

    /// Reads that of a folder's stack, whatever may be wrong with its steps and files.
    ///
    /// # Errors
    /// Exit 2 with file and line when it does not validate.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Self::read(&Files::folder(folder)?)
    }

    fn read(files: &Files) -> Result<Self, Error> {
        let WrittenHead { name, namespace } = read(files)?;
        check_name(&name)?;
        check_name(&namespace)?;
        Ok(Self { name: name.value, namespace: namespace.value })
    }
}

fn read<T: DeserializeOwned>(files: &Files) -> Result<T, Error> {
    let text =
        files.read(STACK_FILE).map_err(|error| error.hint("write one to change: bootstrap eject DIR"))?;
    Ok(yaml::document(STACK_FILE, &text)?)
}

impl From<YamlError> for Error {
    fn from(error: YamlError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    namespace: Spanned<String>,
    steps: Spanned<Vec<WrittenStep>>,
}

/// Nothing is asked of the other fields.
#[derive(Deserialize)]
struct WrittenHead {
    name: Spanned<String>,
    namespace: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenStep {
    name: Spanned<String>,
    #[serde(default)]
    needs: Vec<Spanned<String>>,
    #[serde(default)]
    manifests: Vec<Spanned<String>>,
    #[serde(default)]
    config_maps: Vec<ConfigMapFiles>,
    secret: Option<WrittenSecret>,
    helm: Option<ReleaseSpec>,
    storage: Option<WrittenStorage>,
    timeout: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    name: String,
    data: BTreeMap<String, Spanned<SecretValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStorage {
    helm: ReleaseSpec,
}

impl Written {
    fn validate(self, files: Files) -> Result<Stack, YamlError> {
        for name in [&self.name, &self.namespace] {
            check_name(name)?;
        }
        if self.steps.value.is_empty() {
            return Err(wrong(
                &self.steps,
                "a stack has at least one step; what is there of it goes with down",
            ));
        }
        let names: Vec<_> = self.steps.value.iter().map(|step| step.name.value.clone()).collect();
        let mut seen = BTreeSet::new();
        let mut steps = Vec::new();
        for step in self.steps.value {
            if !seen.insert(step.name.value.clone()) {
                return Err(wrong(&step.name, format!("there are two steps `{}`", step.name.value)));
            }
            steps.push(step.validate(&names, &files)?);
        }
        Ok(Stack { name: self.name.value, namespace: self.namespace.value, steps, files })
    }
}

impl WrittenStep {
    fn validate(self, names: &[String], files: &Files) -> Result<Step, YamlError> {
        check_name(&self.name)?;
        let name = &self.name.value;
        for need in &self.needs {
            if !names.contains(&need.value) {
                let there_are = names.join(", ");
                return Err(wrong(
                    need,
                    format!("step `{name}` needs `{}`, which is no step; there are: {there_are}", need.value),
                ));
            }
        }
        let look_for = |place: &Spanned<String>, path: &str| {
            let astray = |why| wrong(place, format!("step `{name}` names `{path}`, which {why}"));
            files.look_for(path).map_err(astray)
        };
        for path in &self.manifests {
            look_for(path, &path.value)?;
        }
        if self.helm.is_some() && self.storage.is_some() {
            return Err(wrong(&self.name, format!("step `{name}` has both helm and storage; make it two")));
        }
        let is_storage = self.storage.is_some();
        let release = self.helm.or(self.storage.map(|storage| storage.helm));
        let read = self.config_maps.iter().flat_map(|map| &map.files);
        for path in read.chain(release.iter().flat_map(|release| &release.values)) {
            look_for(&self.name, path)?;
        }
        if self.manifests.is_empty()
            && self.config_maps.is_empty()
            && self.secret.is_none()
            && release.is_none()
        {
            let message = format!("step `{name}` has none of manifests, configMaps, secret, helm, storage");
            return Err(wrong(&self.name, message));
        }
        if let Some(release) = &release {
            check_release(&self.name, release)?;
        }
        let timeout = self.timeout.as_ref().map(|text| {
            timeout::parse(&text.value)
                .map_err(|error| wrong(text, format!("timeout `{}` of step `{name}`: {error}", text.value)))
        });
        Ok(Step {
            timeout: timeout.transpose()?,
            line: self.name.referenced.line(),
            name: self.name.value,
            needs: self.needs.into_iter().map(|need| need.value).collect(),
            manifests: self.manifests.into_iter().map(|path| path.value).collect(),
            config_maps: self.config_maps,
            secret: self.secret.map(WrittenSecret::validate).transpose()?,
            release,
            is_storage,
        })
    }
}

impl WrittenSecret {
    fn validate(self) -> Result<SecretSpec, YamlError> {
        let name = self.name;
        let check = |(key, value): (String, Spanned<SecretValue>)| match value.value {
            SecretValue::Random(length) if !RANDOM.contains(&length) => {
                let (least, most) = RANDOM.into_inner();
                let message = format!("`{key}` of secret/{name} wants {least} to {most} random characters");
                Err(wrong(&value, message))
            }
            sound => Ok((key, sound)),
        };
        let data = self.data.into_iter().map(check).collect::<Result<_, _>>()?;
        Ok(SecretSpec { name, data })
    }
}

/// Stack, namespace and step names become names of objects and labels.
fn check_name(name: &Spanned<String>) -> Result<(), YamlError> {
    check_text(name, &name.value, MAX_NAME)
}

/// A name as Kubernetes takes it for a label, and so for nearly everything.
fn check_text(place: &Spanned<String>, text: &str, most: usize) -> Result<(), YamlError> {
    let fits = (1..=most).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(wrong(place, format!("`{text}` is no name: at most {most} of a-z, 0-9 and -, no - at the ends")))
}

fn check_release(step: &Spanned<String>, release: &ReleaseSpec) -> Result<(), YamlError> {
    let name = &release.release;
    check_text(step, name, MAX_RELEASE)?;
    if let Some(namespace) = &release.namespace {
        check_text(step, namespace, MAX_NAMESPACE)?;
    }
    // A name of dots would lead out of the folder of local charts.
    let chart = release.chart.rsplit('/').next().unwrap_or_default();
    if chart.trim_start_matches('.').is_empty() {
        return Err(wrong(step, format!("release `{name}`: `{}` names no chart", release.chart)));
    }
    if release.chart.starts_with("oci://") == release.repo.is_some() {
        let message =
            format!("release `{name}` wants a chart `oci://…`, or a chart's name and the repo that has it");
        return Err(wrong(step, message));
    }
    if release.digest.is_some() && release.repo.is_some() {
        return Err(wrong(step, format!("release `{name}`: only an `oci://` chart can be pinned by digest")));
    }
    Ok(())
}

fn wrong<T>(place: &Spanned<T>, message: impl Into<String>) -> YamlError {
    YamlError::at(STACK_FILE, &place.referenced, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(stack: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("stack.yaml"), stack).expect("written");
        std::fs::write(folder.path().join("a.yaml"), "").expect("written");
        Stack::load(folder.path()).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let head = "name: s\nnamespace: n\nsteps:\n";
        let cases = [
            ("  - {name: a, manifests: [a.yaml], wants: [b]}", "stack.yaml:4:36: unknown field"),
            (
                "  - {name: a, manifests: [a.yaml], needs: [b]}",
                "stack.yaml:4:44: step `a` needs `b`, which is no step",
            ),
            (
                "  - {name: a, manifests: [b.yaml]}",
                "stack.yaml:4:27: step `a` names `b.yaml`, which is not in the stack's folder",
            ),
            (
                "  - {name: a, manifests: [../a.yaml]}",
                "stack.yaml:4:27: step `a` names `../a.yaml`, which leaves the stack's folder",
            ),
            ("  - {name: a}", "stack.yaml:4:12: step `a` has none of"),
            ("  - {name: a, manifests: [a.yaml], timeout: soon}", "stack.yaml:4:45: timeout `soon`"),
            ("  - {name: A_b, manifests: [a.yaml]}", "stack.yaml:4:12: `A_b` is no name"),
            (
                "  - {name: a, manifests: [a.yaml]}\n  - {name: a, manifests: [a.yaml]}",
                "stack.yaml:5:12: there are two steps `a`",
            ),
            (
                "  - {name: a, helm: {release: r, chart: c, version: 1.0.0}}",
                "stack.yaml:4:12: release `r` wants a chart",
            ),
        ];
        for (step, message) in cases {
            let refusal = refusal(&format!("{head}{step}\n"));
            assert!(refusal.starts_with(message), "{step}\n  says: {refusal}\n  want: {message}");
        }
    }
}
