//! `bootstrap credentials`: where they are, and with `--show` what they are. The only command that prints a secret value.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::cli::{Common, Credentials, Output};
use crate::cluster::{Cluster, RequestError};
use crate::commands::{on_cluster, stack};
use crate::error::{Error, Exit};
use crate::object::{self, ObjectRef};
use crate::report::Printer;
use crate::secret;
use crate::stack::Stack;

/// A Secret and what it holds, by key.
type Found = (ObjectRef, Vec<(String, SecretString)>);

pub(super) async fn run(common: &Common, options: &Credentials, printer: &Printer) -> anyhow::Result<Exit> {
    let stack = stack(common)?;
    let found = on_cluster(common, async |cluster, _| find(cluster, &stack).await).await?;
    if common.output == Output::Json {
        printer.data(&format!("{:#}\n", document(found, options.show)))?;
        return Ok(Exit::Success);
    }
    printer.data(&text(found, options.show))?;
    if !options.show && !common.quiet {
        printer.say("print the values with --show");
    }
    Ok(Exit::Success)
}

async fn find(cluster: &Cluster, stack: &Stack) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for spec in stack.steps.iter().filter_map(|step| step.secret.as_ref()) {
        let name = ObjectRef::new(&object::SECRET, Some(&stack.namespace), &spec.name);
        let values = secret::read(cluster, &name).await.map_err(RequestError::into_preflight)?;
        let values = values.ok_or_else(|| {
            Error::new(Exit::Preflight, format!("{name} is not there")).hint("bootstrap up")
        })?;
        found.push((name, values));
    }
    Ok(found)
}

fn text(found: Vec<Found>, show: bool) -> String {
    let mut text = String::new();
    for (name, values) in found {
        if show {
            for (key, value) in values {
                text += &format!("{key}: {}\n", value.expose_secret());
            }
        } else {
            let keys = values.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(", ");
            text += &format!("{name} holds {keys}\n");
        }
    }
    text
}

/// The Secrets by name, each with its keys, or with its values by key.
fn document(found: Vec<Found>, show: bool) -> Value {
    let held = |values: Vec<(String, SecretString)>| {
        if show {
            let shown = values.into_iter().map(|(key, value)| (key, Value::from(value.expose_secret())));
            json!({ "values": shown.collect::<Map<_, _>>() })
        } else {
            json!({ "keys": values.into_iter().map(|(key, _)| key).collect::<Vec<_>>() })
        }
    };
    found.into_iter().map(|(name, values)| (name.name, held(values))).collect()
}
