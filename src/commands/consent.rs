//! Leave to change a cluster that is not on this machine: it has to be named on purpose, and confirmed.

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::cluster::{Consent, Identity};
use crate::error::{Error, Exit};
use crate::report::Printer;

/// What is to be done, as it is asked about.
#[derive(Clone, Copy)]
pub(super) struct Deed<'a> {
    /// The verb.
    pub(super) command: &'static str,
    /// The stack's name.
    pub(super) stack: &'a str,
    /// The stack's namespace.
    pub(super) namespace: &'a str,
    /// Whether claims and the data in them go, too.
    pub(super) purges_data: bool,
}

/// Finds out that a cluster may be changed: it is a local one, or `--yes` was given, or a person types its name.
///
/// # Errors
/// Exit 4 when it was not named with `--context`, or not confirmed; 130 when the question was interrupted.
pub(super) async fn obtain(
    common: &Common,
    identity: &Identity,
    deed: Deed<'_>,
    printer: &Printer,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let Deed { command, stack, namespace, purges_data } = deed;
    let refused = |what: &str, hint: String| {
        Error::new(Exit::Refused, format!("{identity} is not a cluster on this machine, and {what}"))
            .hint(hint)
    };
    match identity.consent(common.context.is_some(), common.yes) {
        Consent::Given => return Ok(()),
        Consent::Name => {
            return Err(refused("was not named", format!("if it is the one, name it: bootstrap {command}")));
        }
        Consent::Confirmation => {}
    }
    if !printer.can_ask() {
        let first = if command == "up" { "see what would be done with plan, then " } else { "" };
        let hint = format!("{first}confirm it: bootstrap {command} --yes");
        return Err(refused("was not confirmed", hint));
    }
    let what = format!(
        "{identity} is not a cluster on this machine; {command} of {stack} changes it, in {namespace}.\n"
    );
    let confirm = async |question: String, wanted: &str| {
        let typed = ask(printer, question, cancel).await?;
        if typed == wanted {
            Ok(())
        } else {
            Err(refused("was not confirmed", format!("type {wanted} to confirm it")))
        }
    };
    confirm(format!("{what}Type the context's name to go on: "), &identity.route.to_string()).await?;
    if purges_data {
        let question = format!(
            "Claims of {stack} and the data in them are deleted for good.\nType the namespace's name to go on: "
        );
        confirm(question, namespace).await?;
    }
    Ok(())
}

async fn ask(printer: &Printer, question: String, cancel: &CancellationToken) -> Result<String, Error> {
    let printer = printer.clone();
    let asking = spawn_blocking(move || printer.ask(&question));
    tokio::select! {
        answer = asking => match answer {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(Error::new(Exit::Refused, "failed to read the answer").because(error)),
            Err(panic) => Err(Error::new(Exit::Unexpected, "failed to ask").because(panic)),
        },
        () = cancel.cancelled() => Err(Error::new(Exit::Interrupted, "interrupted; nothing was changed")),
    }
}
