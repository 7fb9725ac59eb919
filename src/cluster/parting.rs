//! Parts with connections that have carried values of Secrets. A connection that is kept keeps the buffers that its last
//! requests and answers went through, and with them what was in these; one that is closed gives them back, and they are wiped.

use http::header::{ACCEPT, CONNECTION};
use http::{HeaderValue, Method, Request};

/// Asks that the connection be closed after a request whose body or answer has the values of a Secret. Lists are left: they are
/// asked for helm's records, at the beginning of nearly every run, and a new connection costs as much as several requests.
pub(super) fn part<B>(mut request: Request<B>) -> Request<B> {
    if carries_values(&request) {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    request
}

fn carries_values<B>(request: &Request<B>) -> bool {
    let namespaced = request.uri().path().strip_prefix("/api/v1/namespaces/");
    let Some((_, path)) = namespaced.and_then(|path| path.split_once('/')) else { return false };
    match (path.split_once('/'), request.method()) {
        (Some(("secrets", _)), &Method::GET) => !wants_metadata(request),
        (Some(("secrets", _)), _) => true,
        (None, &Method::POST) => path == "secrets",
        _ => false,
    }
}

fn wants_metadata<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("as=PartialObjectMetadata"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(method: Method, path: &str, accepted: &str) -> bool {
        let request = Request::builder().method(method).uri(path).header(ACCEPT, accepted);
        let request = part(request.body(()).expect("a request"));
        request.headers().get(CONNECTION).is_some_and(|value| value == "close")
    }

    #[test]
    fn only_connections_that_carry_values_of_secrets_are_closed() {
        const ALL: &str = "/api/v1/namespaces/monitoring/secrets";
        const ONE: &str = "/api/v1/namespaces/monitoring/secrets/grafana-secrets";
        let whole = "application/json";
        assert!(closes(Method::GET, ONE, whole));
        assert!(closes(Method::PATCH, ONE, whole));
        assert!(closes(Method::POST, "/api/v1/namespaces/monitoring/secrets?fieldManager=x", whole));
        let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert!(!closes(Method::GET, ONE, metadata), "there are no values in it");
        assert!(closes(Method::PATCH, ONE, metadata), "there are in what is sent");
        assert!(!closes(Method::GET, ALL, whole));
        for path in [
            "/api/v1/namespaces/secrets",
            "/api/v1/namespaces/secrets/pods/secrets",
            "/api/v1/namespaces/monitoring/configmaps/secrets",
            "/apis/apps/v1/namespaces/monitoring/deployments",
        ] {
            assert!(!closes(Method::GET, path, whole), "{path}");
        }
    }
}
