//! The program that a kubeconfig names to log in with. It is run once, and again when what it gave runs out; within a limit,
//! and with its words kept. Kube would run it three times, wait for it without end, and put all that it printed into its error.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use jiff::{SignedDuration, Timestamp};
use kube::Config;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tower::BoxError;
use tower::filter::AsyncPredicate;

use crate::error::{Error, Exit};
use crate::yaml;

/// How long the program may take; it may have to ask a server far away.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it may take where it can ask a person.
const LIMIT_OF_A_PERSON: Duration = Duration::from_mins(2);

/// How long before a token runs out the next one is fetched.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// More than any credentials take.
const LARGEST: u64 = 1 << 20;

/// How much of what it said is kept, from its end, and how many lines of that are shown.
const KEPT: u64 = 8 << 10;
const LINES: usize = 8;

/// A token that runs out, and how to get the next; a layer that gives each request the one that holds. Cheap to clone.
#[derive(Clone)]
pub(super) struct Login(Arc<Session>);

struct Session {
    program: ExecConfig,
    token: Mutex<Token>,
}

struct Token {
    header: HeaderValue,
    expires: Timestamp,
}

/// Runs the program of a configuration, if it has one, and puts there what it gave. A token that runs out is left to the layer
/// that is returned.
///
/// # Errors
/// Exit 3, with the program's own words.
pub(super) async fn log_in(config: &mut Config, context: &str) -> Result<Option<Login>, Error> {
    let user = &mut config.auth_info;
    // Kube prefers each of these, too.
    let has_other = user.auth_provider.is_some()
        || (user.username.is_some() && user.password.is_some())
        || user.token.is_some()
        || user.token_file.is_some();
    let Some(program) = user.exec.take().filter(|_| !has_other) else { return Ok(None) };
    let is_attended =
        program.interactive_mode != Some(ExecInteractiveMode::Never) && io::stdin().is_terminal();
    let limit = if is_attended { LIMIT_OF_A_PERSON } else { LIMIT };
    let credentials =
        run(&program, limit, is_attended).await.map_err(|failure| failure.into_error(&program, context))?;
    credentials
        .put(user)
        .map_err(|failure| failure.into_error(&program, context))
        .map(|token| token.map(|token| Login(Arc::new(Session { program, token: Mutex::new(token) }))))
}

impl<B: Send + 'static> AsyncPredicate<Request<B>> for Login {
    type Future = BoxFuture<'static, Result<Request<B>, BoxError>>;
    type Request = Request<B>;

    fn check(&mut self, mut request: Request<B>) -> Self::Future {
        let login = self.clone();
        async move {
            request.headers_mut().insert(AUTHORIZATION, login.0.header().await?);
            Ok(request)
        }
        .boxed()
    }
}

impl Session {
    /// The header of a token that holds; others wait while one request fetches it.
    async fn header(&self) -> Result<HeaderValue, Failure> {
        let mut token = self.token.lock().await;
        if Timestamp::now() + AHEAD >= token.expires {
            // In the middle of a run there is nobody to be asked.
            *token = run(&self.program, LIMIT, false).await?.token()?.ok_or(Failure::Unusable)?;
        }
        Ok(token.header.clone())
    }
}

/// What the program printed.
#[derive(Deserialize)]
struct Printed {
    status: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

impl Credentials {
    /// Makes them a user's; a token that runs out is returned in place of that.
    fn put(self, user: &mut AuthInfo) -> Result<Option<Token>, Failure> {
        if let (Some(certificate), Some(key)) = (&self.client_certificate_data, &self.client_key_data) {
            user.client_certificate_data = Some(STANDARD.encode(certificate));
            user.client_key_data = Some(STANDARD.encode(key).into());
        } else if self.token.is_none() {
            return Err(Failure::Unusable);
        }
        let token = self.token()?;
        if token.is_none() {
            user.token = self.token.map(Into::into);
        }
        Ok(token)
    }

    /// The token, if it runs out.
    fn token(&self) -> Result<Option<Token>, Failure> {
        let (Some(token), Some(expires)) = (&self.token, self.expiration_timestamp) else { return Ok(None) };
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Failure::Unusable)?;
        header.set_sensitive(true);
        Ok(Some(Token { header, expires }))
    }
}

/// Why there are no credentials. What the program printed on stdout is never told: it may hold some.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the kubeconfig names no program")]
    Unnamed,
    #[error("it is missing")]
    Missing,
    #[error("it asks for a terminal, and there is none")]
    Unattended,
    #[error(transparent)]
    System(#[from] io::Error),
    #[error("it did not end within {} s{}", limit.as_secs_f32(), after(words))]
    Late { limit: Duration, words: String },
    #[error("{status}{}", after(words))]
    Ended { status: ExitStatus, words: String },
    #[error("it printed no credentials")]
    Unusable,
}

/// The program's own words, where it had any.
fn after(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

impl Failure {
    fn into_error(self, program: &ExecConfig, context: &str) -> Error {
        let hint = match &self {
            Self::Missing => program.install_hint.clone().unwrap_or_else(|| {
                "install it, or choose another context: kubectl config get-contexts".to_owned()
            }),
            _ => format!("kubectl --context {context} auth whoami"),
        };
        let name = program.command.as_deref().unwrap_or_default();
        Error::new(
            Exit::Preflight,
            format!("failed to log in to context `{context}` with the program `{name}`"),
        )
        .because(self)
        .hint(hint)
    }
}

/// Runs the program to its end. Where it may ask a person, it has the terminal to itself, and its words are seen there.
async fn run(program: &ExecConfig, limit: Duration, is_attended: bool) -> Result<Credentials, Failure> {
    if program.interactive_mode == Some(ExecInteractiveMode::Always) && !is_attended {
        return Err(Failure::Unattended);
    }
    let words = tempfile::tempfile()?;
    let mut command = command(program, is_attended)?;
    if is_attended {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    } else {
        // In a group of its own, what it has started ends with it.
        command.stdin(Stdio::null()).stderr(words.try_clone()?).process_group(0);
    }
    let mut child =
        command.stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Missing,
            _ => Failure::System(error),
        })?;
    let Ok(ended) = timeout(limit, finish(&mut child)).await else {
        if !is_attended {
            kill(&child);
        }
        return Err(Failure::Late { limit, words: last_lines(words)? });
    };
    let (status, printed) = ended?;
    if !status.success() {
        return Err(Failure::Ended { status, words: last_lines(words)? });
    }
    let printed = String::from_utf8(printed).map_err(|_| Failure::Unusable)?;
    let printed: Printed = yaml::document("credentials", &printed).map_err(|_| Failure::Unusable)?;
    Ok(printed.status)
}

fn command(program: &ExecConfig, is_attended: bool) -> Result<Command, Failure> {
    let mut command = Command::new(program.command.as_ref().ok_or(Failure::Unnamed)?);
    command.args(program.args.iter().flatten());
    for variable in program.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let mut spec = json!({"interactive": is_attended});
    if let Some(cluster) = program.cluster.as_ref().filter(|_| program.provide_cluster_info) {
        spec["cluster"] = json!(cluster);
    }
    let info = json!({"apiVersion": program.api_version, "kind": "ExecCredential", "spec": spec});
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    Ok(command)
}

async fn finish(child: &mut Child) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST).read_to_end(&mut printed).await?;
    }
    Ok((child.wait().await?, printed))
}

fn kill(child: &Child) {
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn last_lines(mut words: File) -> io::Result<String> {
    let length = words.seek(SeekFrom::End(0))?;
    words.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut bytes = Vec::new();
    words.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, OFlags, fcntl_setfl, mkfifoat};
    use tokio::task::spawn_blocking;

    use super::*;

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
        // The child that it waits for holds the pipe open, and nothing else does.
        let reader =
            rustix::fs::open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).expect("opened");
        let script = format!("echo 'open the browser' >&2; exec 3<>{}; sleep 600 & wait", pipe.display());
        let program = json!({"command": "sh", "args": ["-c", script]});
        let program = serde_json::from_value(program).expect("a program");
        let failure = run(&program, Duration::from_secs(5), false).await.err().expect("it hangs");
        assert_eq!(failure.to_string(), "it did not end within 5 s: open the browser");
        fcntl_setfl(&reader, OFlags::empty()).expect("made to wait");
        // It comes to its end when nobody can write to it any more.
        let end = spawn_blocking(|| File::from(reader).read(&mut [0]));
        let end = timeout(Duration::from_secs(10), end).await.expect("the child is gone").expect("no panic");
        assert_eq!(end.expect("an end"), 0);
    }
}
