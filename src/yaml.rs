//! The one way YAML is read, as kubectl reads it, and the position of what is wrong in it.

use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use serde_yaml::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

mod traps;

/// So many values come out of aliases at most: more than any manifest repeats, and far less than a bomb would make.
const MOST_REPEATED: usize = 50_000;

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

    /// Says what the parser found, without the text around it: that may be a secret.
    pub(crate) fn new(file: &str, error: &serde_yaml::Error) -> Self {
        let (line, column) =
            error.location().map_or((1, 1), |location| (location.line().max(1), location.column().max(1)));
        Self { file: file.to_owned(), line, column, message: words(error.without_snippet()) }
    }
}

/// The parser's words, and others where its own are for programmers.
fn words(error: &serde_yaml::Error) -> String {
    use serde_yaml::Error;
    match error {
        Error::AliasError { error, .. } => words(error),
        Error::AliasReplayLimitExceeded { .. } | Error::Budget { .. } => {
            "with its aliases written out it is too large".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias stands for what it is in".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` is there twice"),
        Error::Eof { .. } => "it ends too early, or is empty".to_owned(),
        Error::Unexpected { expected, .. } => match *expected {
            "sequence start" => wanted("a list"),
            "mapping start" => wanted("a mapping"),
            "string scalar" => wanted("a string"),
            other => wanted(other),
        },
        // What is there instead may be a secret.
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            wanted(expected)
        }
        Error::SerdeUnknownVariant { expected, .. } => wanted(&format!("one of {}", expected.join(", "))),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

fn wanted(what: &str) -> String {
    format!("{what} is wanted here")
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

/// Reads a file of manifests, in which nothing may mean something else than it means to kubectl.
///
/// # Errors
/// The first thing that is wrong, or can be read in two ways, with its position.
pub fn manifests(file: &str, text: &str) -> Result<Vec<Spanned<Value>>, YamlError> {
    let mut found = documents(file, text)?;
    if let Some(trap) = traps::find(file, text) {
        return Err(trap);
    }
    for document in &mut found {
        make_whole(&mut document.value);
    }
    Ok(found)
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        // Without it `0644` is read as the number 644, and `0400` as a mode that nobody meant.
        legacy_octal_numbers: true,
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MOST_REPEATED },
    }
}

/// Makes integers of numbers that are whole, such as `1e3`, as kubectl sends them: the server takes no `1000.0` for them.
fn make_whole(value: &mut Value) {
    /// From here on not every integer can be written as a number with a point.
    const MOST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)
                && float.abs() < MOST
                && let Ok(whole) = format!("{float:.0}").parse::<i64>()
            {
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn modes_are_octal_as_kubectl_reads_them() {
        assert_eq!(document::<Value>("f", "a: 0644").expect("valid"), json!({"a": 420}));
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        let found = manifests("f", "[1e3, 1.0, -0.0, 08, 1.5, 1e300]").expect("valid");
        assert_eq!(found[0].value.to_string(), "[1000,1,0,8,1.5,1e+300]");
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
