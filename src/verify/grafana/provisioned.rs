//! What the stack's own files provision Grafana with. Pure.

use serde_json::Value;

use super::panels::{self, Panel};
use crate::verify::check::{Trouble, pending};
use crate::verify::program::UP;
use crate::yaml;

/// A data source of the provisioned files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) url: String,
}

/// A dashboard of the provisioned files.
pub(super) struct Dashboard {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
}

impl Source {
    /// Passes when a data source is called what the stack calls it, and asks whom the stack says.
    pub(super) fn is_like(&self, found: &Value) -> Result<(), Trouble> {
        for (field, wanted_value) in [("name", &self.name), ("url", &self.url)] {
            let value = found[field].as_str().unwrap_or_default();
            if value != wanted_value {
                let message = format!(
                    "the data source with uid {} has {field} {value} in Grafana, and {wanted_value} in the stack",
                    self.uid
                );
                return Err(pending(message).hint(UP));
            }
        }
        Ok(())
    }
}

/// The data sources that a provisioning file brings.
pub(super) fn sources(name: &str, text: &str) -> Vec<Source> {
    if !matches!(extension(name), "yaml" | "yml") {
        return Vec::new();
    }
    let file: Value = yaml::document(name, text).unwrap_or_default();
    let written = file["datasources"].as_array().into_iter().flatten();
    let field = |source: &Value, field: &str| Some(source[field].as_str()?.to_owned());
    written
        .filter_map(|source| {
            Some(Source {
                uid: field(source, "uid")?,
                name: field(source, "name")?,
                url: field(source, "url")?,
            })
        })
        .collect()
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// The dashboard that a file holds, if it holds one.
pub(super) fn dashboard(name: &str, text: &str) -> Option<Dashboard> {
    if extension(name) != "json" {
        return None;
    }
    let file: Value = serde_json::from_str(text).ok()?;
    Some(Dashboard {
        uid: file["uid"].as_str()?.to_owned(),
        title: file["title"].as_str()?.to_owned(),
        panels: panels::of(&file),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_data_source_that_was_changed_is_named_with_what_differs() {
        let wanted =
            Source { uid: "loki".to_owned(), name: "Loki".to_owned(), url: "http://loki:3100".to_owned() };
        assert!(wanted.is_like(&json!({"name": "Loki", "url": "http://loki:3100"})).is_ok());
        let Err(Trouble::Pending(reason)) =
            wanted.is_like(&json!({"name": "Logs", "url": "http://loki:3100"}))
        else {
            panic!("the name differs")
        };
        assert_eq!(
            reason.message,
            "the data source with uid loki has name Logs in Grafana, and Loki in the stack"
        );
    }

    #[test]
    fn provisioning_files_are_told_from_others() {
        let text = "datasources:\n  - {name: Loki, uid: loki, type: loki, url: 'http://loki:3100'}\n";
        assert_eq!(sources("datasources.yaml", text).len(), 1);
        assert_eq!(sources("providers.yaml", "providers: []\n"), []);
        assert!(dashboard("datasources.yaml", text).is_none());
    }
}
