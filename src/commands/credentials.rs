//! `bootstrap credentials`: where they are, and with `--show` what they are. The only command that prints a secret value.

use secrecy::ExposeSecret as _;

use crate::cli::{Common, Credentials};
use crate::cluster::{Cluster, RequestError};
use crate::commands::{stack, target};
use crate::error::{Error, Exit};
use crate::object::{self, ObjectRef};
use crate::report::Printer;
use crate::{preflight, secret};

pub(super) async fn run(common: &Common, options: &Credentials, printer: &Printer) -> anyhow::Result<Exit> {
    let stack = stack(common)?;
    let cluster = Cluster::connect(&target(common)).await?;
    preflight::reach(&cluster).await?;
    let mut text = String::new();
    for spec in stack.steps.iter().filter_map(|step| step.secret.as_ref()) {
        let name = ObjectRef::new(&object::SECRET, Some(&stack.namespace), &spec.name);
        let values = secret::read(&cluster, &name).await.map_err(RequestError::into_error)?;
        let values = values.ok_or_else(|| {
            let context = cluster.context();
            Error::new(Exit::Preflight, format!("{name} is not there"))
                .hint(format!("bootstrap up --context {context}"))
        })?;
        if options.show {
            for (key, value) in values {
                text += &format!("{key}: {}\n", value.expose_secret());
            }
        } else {
            let keys = values.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(", ");
            text += &format!("{name} holds {keys}\n");
        }
    }
    printer.data(&text)?;
    if !options.show {
        printer.say("print the values with --show");
    }
    Ok(Exit::Success)
}
