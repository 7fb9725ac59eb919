//! The one way YAML is read, as kubectl reads it, and the position of what is wrong in it.

use serde::de::DeserializeOwned;
use serde_yaml::{Location, Spanned};

/// YAML that cannot be read, or does not have the form that is wanted.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct YamlError {
    /// The file, as the stack names it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
}

impl YamlError {
    /// Says what is wrong at a place in a file.
    #[must_use]
    pub fn at(file: &str, location: &Location, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: location.line(),
            column: location.column(),
            message: message.into(),
        }
    }

    fn new(file: &str, error: &serde_yaml::Error) -> Self {
        let message = error.without_snippet().to_string();
        // The parser writes the position into its text as well.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text).to_owned();
        let (line, column) =
            error.location().map_or((1, 1), |location| (location.line().max(1), location.column().max(1)));
        Self { file: file.to_owned(), line, column, message }
    }
}

/// Reads a file that holds one document.
///
/// # Errors
/// The first thing that is wrong, with its position.
pub fn document<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, YamlError> {
    serde_yaml::from_str_with_options(text, options()).map_err(|error| YamlError::new(file, &error))
}

/// Reads a file of any number of documents, each with the place where it begins; empty ones are left out.
///
/// # Errors
/// The first thing that is wrong, with its position.
pub fn documents<T: DeserializeOwned>(file: &str, text: &str) -> Result<Vec<Spanned<T>>, YamlError> {
    serde_yaml::from_multiple_with_options(text, options()).map_err(|error| YamlError::new(file, &error))
}

fn options() -> serde_yaml::Options {
    // Without it `0644` is read as the number 644, and `0400` as a mode that nobody meant.
    serde_yaml::options! { legacy_octal_numbers: true }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn modes_are_octal_as_kubectl_reads_them() {
        assert_eq!(document::<Value>("f", "a: 0644").expect("valid"), json!({"a": 420}));
    }

    #[test]
    fn a_duplicate_key_is_an_error_with_its_position() {
        let error = document::<Value>("f.yaml", "a: 1\nb: 2\na: 3\n").expect_err("a twice");
        assert!(error.to_string().starts_with("f.yaml:3:1: "), "{error}");
    }

    #[test]
    fn documents_know_where_they_begin() {
        let found = documents::<Value>("f", "# comment\n---\na: 1\n---\n---\nb: 2\n").expect("valid");
        let lines: Vec<_> = found.iter().map(|document| document.referenced.line()).collect();
        assert_eq!(lines, [3, 6]);
    }
}
