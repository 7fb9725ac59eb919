//! `bootstrap credentials`: where they are, and with `--show` what they are. The only command that prints a secret value.

use secrecy::ExposeSecret as _;

use crate::cli::{Common, Credentials};
use crate::cluster::{Cluster, RequestError};
use crate::commands::{on_cluster, stack};
use crate::error::{Error, Exit};
use crate::object::{self, ObjectRef};
use crate::report::Printer;
use crate::secret;
use crate::stack::Stack;

pub(super) async fn run(common: &Common, options: &Credentials, printer: &Printer) -> anyhow::Result<Exit> {
    let stack = stack(common)?;
    let text = on_cluster(common, async |cluster, _| text(cluster, &stack, options.show).await).await?;
    printer.data(&text)?;
    if !options.show {
        printer.say("print the values with --show");
    }
    Ok(Exit::Success)
}

async fn text(cluster: &Cluster, stack: &Stack, show: bool) -> Result<String, Error> {
    let mut text = String::new();
    for spec in stack.steps.iter().filter_map(|step| step.secret.as_ref()) {
        let name = ObjectRef::new(&object::SECRET, Some(&stack.namespace), &spec.name);
        let values = secret::read(cluster, &name).await.map_err(RequestError::into_error)?;
        let values = values.ok_or_else(|| {
            Error::new(Exit::Preflight, format!("{name} is not there")).hint("bootstrap up")
        })?;
        if show {
            for (key, value) in values {
                text += &format!("{key}: {}\n", value.expose_secret());
            }
        } else {
            let keys = values.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(", ");
            text += &format!("{name} holds {keys}\n");
        }
    }
    Ok(text)
}
