//! Client configuration: files of our own, and our entry in the user's.
//! The user's file is only ever changed by kubectl, so that everything else in it stays as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::certs::Pair;

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
