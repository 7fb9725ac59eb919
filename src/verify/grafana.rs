//! Grafana: that it answers, lets in whom it should, has its data sources and dashboards, and that every panel shows data.

use std::collections::BTreeSet;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed, pending};
use super::components::Workload;
use super::program::{self, Program, UP};
use super::prometheus::{self, Prometheus};
use super::{logs, loki, node_metrics, state_metrics};
use crate::cluster::Answer;
use crate::object::{self, ObjectRef};
use crate::secret;

use self::panels::Query;
use self::provisioned::{Dashboard, Source};

mod panels;
mod provisioned;

/// It has a ready pod, and its database is well.
pub(super) const READY: Name = name("ready");
/// It lets the credentials of the Secret in.
pub(super) const LOGIN: Name = name("login");
const SOURCES: Name = name("data-sources");
const DASHBOARDS: Name = name("dashboards");
const PANELS: Name = name("panels");
const VISITORS: Name = name("visitors");

/// The variable with the admin's password.
const PASSWORD: &str = "GF_SECURITY_ADMIN_PASSWORD";

const fn name(id: &'static str) -> Name {
    Name { category: "grafana", id }
}

/// Grafana as the stack wants it.
pub(super) struct Grafana {
    program: Program,
    workload: ObjectRef,
    /// Its container.
    container: String,
    /// Whether a new pod finds the database of the one before.
    keeps_database: bool,
    /// Where user and password are: the Secret, and its keys.
    credentials: Option<(ObjectRef, String, String)>,
    lets_visitors_in: bool,
    sources: Vec<Source>,
    dashboards: Vec<Dashboard>,
    prometheus: Option<Rc<Prometheus>>,
    /// What the admin sends with a request, once the Secret was read.
    authorization: OnceCell<HeaderValue>,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Admin,
    Visitor,
}

/// The checks of this category.
pub(super) fn checks(grafana: &Rc<Grafana>) -> Vec<Check> {
    let mut checks = vec![Check::new(READY, grafana, Grafana::is_ready)];
    if grafana.credentials.is_some() {
        checks.push(Check::new(LOGIN, grafana, Grafana::lets_the_admin_in).needs([READY]));
        checks.push(Check::new(SOURCES, grafana, Grafana::has_sources).needs([
            READY,
            LOGIN,
            prometheus::READY,
            loki::READY,
        ]));
        checks.push(Check::new(DASHBOARDS, grafana, Grafana::has_dashboards).needs([READY, LOGIN]));
        let needs = [
            READY,
            LOGIN,
            SOURCES,
            DASHBOARDS,
            state_metrics::TARGET,
            node_metrics::HOST,
            node_metrics::CONTAINERS,
            logs::NEWEST,
        ];
        checks.push(Check::new(PANELS, grafana, Grafana::shows_data).needs(needs));
    }
    if !grafana.dashboards.is_empty() {
        checks.push(Check::new(VISITORS, grafana, Grafana::guards_its_dashboards).needs([READY]).hint(UP));
    }
    checks
}

impl Subject for Grafana {
    fn asked(&self) -> Asked {
        self.program.asked()
    }
}

impl Grafana {
    pub(super) fn new(program: Program, workload: &Workload, prometheus: Option<&Rc<Prometheus>>) -> Self {
        let of =
            |variable| workload.secret(variable).map(|(secret, key)| (secret.to_owned(), key.to_owned()));
        let credentials = of("GF_SECURITY_ADMIN_USER").zip(of(PASSWORD));
        let credentials = credentials.map(|((_, user), (secret, password))| {
            (ObjectRef::new(&object::SECRET, Some(&program.namespace), &secret), user, password)
        });
        Self {
            workload: workload.name.clone(),
            container: workload.container().to_owned(),
            keeps_database: workload.has_claim
                || ["GF_DATABASE_TYPE", "GF_DATABASE_URL"].iter().any(|name| workload.sets(name)),
            credentials,
            lets_visitors_in: workload.variable("GF_AUTH_ANONYMOUS_ENABLED") == Some("true"),
            sources: workload.files().flat_map(|(name, text)| provisioned::sources(name, text)).collect(),
            dashboards: workload
                .files()
                .filter_map(|(name, text)| provisioned::dashboard(name, text))
                .collect(),
            prometheus: prometheus.cloned(),
            authorization: OnceCell::new(),
            program,
        }
    }

    async fn is_ready(&self) -> Verdict {
        self.program.is_ready("/api/health").await
    }

    async fn lets_the_admin_in(&self) -> Verdict {
        let answer = self.ask(As::Admin, Method::GET, "/api/user", None).await?;
        let Some((secret, ..)) = &self.credentials else { return Ok("nobody is to log in".to_owned()) };
        match answer.status {
            200 => Ok(format!("the credentials of {secret} log in")),
            // Tried once in a run: after five wrong passwords Grafana lets nobody in for five minutes.
            401 => Err(failed(format!(
                "{secret} disagrees with what Grafana knows: the password is only read when its database is made"
            ))
            .hint(self.how_to_take_the_password())),
            _ => Err(refused("/api/user", &answer)),
        }
    }

    /// How Grafana is made to take the password of its environment: with a database of its own pod by a new pod, else by its
    /// own tool, which reads it where no list of processes shows it.
    fn how_to_take_the_password(&self) -> String {
        let (workload, container) = (&self.workload, &self.container);
        if self.keeps_database {
            format!(
                "kubectl exec {workload} -c {container} -- sh -c 'printenv {PASSWORD} | grafana cli admin reset-admin-password \
                 --password-from-stdin'"
            )
        } else {
            format!("kubectl rollout restart {workload}")
        }
    }

    async fn has_sources(&self) -> Verdict {
        for wanted in &self.sources {
            let path = format!("/api/datasources/uid/{}", wanted.uid);
            let answer = self.ask(As::Admin, Method::GET, &path, None).await?;
            match answer.status {
                200 => wanted.is_like(&program::read(&answer.body, "Grafana")?)?,
                404 => {
                    let message =
                        format!("Grafana has no data source {} with uid {}", wanted.name, wanted.uid);
                    return Err(pending(message).hint(UP));
                }
                _ => return Err(refused(&path, &answer)),
            }
            let health = self.ask(As::Admin, Method::GET, &format!("{path}/health"), None).await?;
            if health.status != 200 {
                let body: Value = serde_json::from_str(&health.body).unwrap_or_default();
                let why = body["message"].as_str().unwrap_or("no reason given");
                let message = format!("data source {} ({}) is not healthy: {why}", wanted.name, wanted.url);
                return Err(pending(message).hint(format!("kubectl logs {}", self.workload)));
            }
        }
        let names: Vec<_> = self.sources.iter().map(|source| source.name.as_str()).collect();
        Ok(format!("healthy: {}", names.join(", ")))
    }

    async fn has_dashboards(&self) -> Verdict {
        for Dashboard { uid, title, .. } in &self.dashboards {
            let path = format!("/api/dashboards/uid/{uid}");
            let answer = self.ask(As::Admin, Method::GET, &path, None).await?;
            match answer.status {
                200 => {}
                404 => {
                    return Err(pending(format!("Grafana has no dashboard {title} with uid {uid}")).hint(UP));
                }
                _ => return Err(refused(&path, &answer)),
            }
        }
        let titles: Vec<_> = self.dashboards.iter().map(|dashboard| dashboard.title.as_str()).collect();
        Ok(format!("there: {}", titles.join(", ")))
    }

    async fn shows_data(&self) -> Verdict {
        let (mut shown, mut missing) = (0, 0);
        let mut excuses = BTreeSet::new();
        for Dashboard { title, panels, .. } in &self.dashboards {
            for panel in panels.iter().filter(|panel| !panel.queries.is_empty()) {
                let body = panels::request(panel);
                let answer = self.ask(As::Admin, Method::POST, "/api/ds/query", Some(&body)).await?;
                let answer: Value = program::read(&answer.body, "Grafana at /api/ds/query")?;
                for query in &panel.queries {
                    let place = format!("dashboard {title}, panel {}, query {}", panel.title, query.id);
                    match panels::outcome(&answer, query) {
                        Ok(true) => shown += 1,
                        Ok(false) => match self.excuse(query).await? {
                            Some(excuse) => {
                                missing += 1;
                                excuses.insert(excuse);
                            }
                            None => {
                                return Err(pending(format!("{place}, gives no data: {}", query.expression)));
                            }
                        },
                        Err(why) => return Err(pending(format!("{place}, fails: {why}"))),
                    }
                }
            }
        }
        let given = format!("{shown} queries of {} dashboards give data", self.dashboards.len());
        if missing == 0 {
            return Ok(given);
        }
        let until = excuses.into_iter().collect::<Vec<_>>().join(", or until ");
        Ok(format!("{given}; {missing} have none until {until}"))
    }

    /// Why a query may give nothing; `None` when it should give something.
    async fn excuse(&self, query: &Query) -> Result<Option<&'static str>, Trouble> {
        let Some(prometheus) = &self.prometheus else { return Ok(None) };
        for (metric, until) in panels::excuses(&query.expression) {
            if prometheus.query(&format!("count({metric})")).await?.is_empty() {
                return Ok(Some(until));
            }
        }
        if let Some((joined, until)) = panels::joined(&query.expression)
            && prometheus.query(&joined).await?.is_empty()
        {
            return Ok(Some(until));
        }
        Ok(None)
    }

    /// Nothing is changed by this: what a visitor may not do is refused before it is looked at, and to save nothing at all
    /// is an error for those who may.
    async fn guards_its_dashboards(&self) -> Verdict {
        let Some(Dashboard { uid, title, .. }) = self.dashboards.first() else {
            return Ok("there are none".to_owned());
        };
        let path = format!("/api/dashboards/uid/{uid}");
        let seen = self.ask(As::Visitor, Method::GET, &path, None).await?;
        match (seen.status, self.lets_visitors_in) {
            (200, true) | (401, false) => {}
            (200, false) => {
                return Err(failed(format!("visitors see dashboard {title}, which they should not")));
            }
            (401 | 403, true) => {
                return Err(failed(format!("visitors do not see dashboard {title}")).hint(UP));
            }
            _ => return Err(refused(&path, &seen)),
        }
        let saved = self.ask(As::Visitor, Method::POST, "/api/dashboards/db", Some(&json!({}))).await?;
        match saved.status {
            401 | 403 => {}
            status => {
                let message = format!(
                    "visitors may edit dashboards: saving one is not refused (Grafana answered {status})"
                );
                return Err(failed(message).hint(UP));
            }
        }
        Ok(if self.lets_visitors_in {
            "visitors see dashboards and may not edit them"
        } else {
            "visitors see nothing"
        }
        .to_owned())
    }

    async fn ask(
        &self,
        who: As,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Trouble> {
        let mut request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        if who == As::Admin {
            let authorization = self.authorization.get_or_try_init(|| self.read_credentials()).await?;
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(body).map_err(|error| failed(error.to_string()))?;
        self.program.send(&self.program.ready_pod()?, &request).await
    }

    /// User and password as a header that no debug output shows.
    async fn read_credentials(&self) -> Result<HeaderValue, Trouble> {
        let Some((secret, user, password)) = &self.credentials else {
            return Err(failed("the stack gives Grafana no credentials"));
        };
        let values = secret::read(&self.program.cluster, secret).await?;
        let values = values.ok_or_else(|| failed(format!("{secret} is not there")).hint(UP))?;
        let find = |key: &str| {
            let found = values.iter().find(|(name, _)| name == key).map(|(_, value)| value);
            found.ok_or_else(|| failed(format!("{secret} has no key {key}")).hint(UP))
        };
        let pair = format!("{}:{}", find(user)?.expose_secret(), find(password)?.expose_secret());
        let pair = SecretString::from(format!("Basic {}", BASE64_STANDARD.encode(pair)));
        let mut header = HeaderValue::from_str(pair.expose_secret())
            .map_err(|_| failed(format!("{secret} holds what cannot be sent")))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

fn refused(path: &str, answer: &Answer) -> Trouble {
    pending(format!("Grafana at {path} answered {}{}", answer.status, program::said(&answer.body)))
}
