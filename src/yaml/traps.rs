//! Spellings that mean one thing to kubectl, which reads YAML 1.1, and another to our parser. In a manifest they are refused,
//! so that an object never becomes something else than kubectl would make of it. The rest is read alike: `yes` and `0644`.

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span};

use super::YamlError;

/// Finds the first one in a text that the parser takes.
pub(super) fn find(file: &str, text: &str) -> Option<YamlError> {
    let mut place = Place::default();
    // A mark at the beginning that says how the text is encoded is no part of it.
    for (event, span) in Parser::new_from_str(text.trim_start_matches('\u{feff}')).map_while(Result::ok) {
        let is_key = place.enter(&event);
        let message = match &event {
            Event::Scalar(_, ScalarStyle::Plain, _, Some(tag)) if tag.handle() == "!" => {
                Some(format!("`{tag}` says nothing to kubectl: leave it out"))
            }
            Event::Scalar(word, ScalarStyle::Plain, _, None) if is_key => trap_as_key(word),
            Event::Scalar(word, ScalarStyle::Plain, _, None) => trap_as_value(word),
            _ => None,
        };
        if let Some(message) = message {
            return Some(at(file, span, message));
        }
    }
    None
}

fn at(file: &str, span: Span, message: String) -> YamlError {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    YamlError {
        file: file.to_owned(),
        line: count(span.start.line()),
        column: count(span.start.col()) + 1,
        message,
    }
}

/// Where in a document the parser is: for each open list `None`, for each open mapping whether a key comes next.
#[derive(Default)]
struct Place(Vec<Option<bool>>);

impl Place {
    /// Takes notice of an event; tells whether it is a key.
    fn enter(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Scalar(..) | Event::Alias(_) => self.take(),
            Event::SequenceStart(..) => {
                self.take();
                self.0.push(None);
                false
            }
            Event::MappingStart(..) => {
                self.take();
                self.0.push(Some(true));
                false
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.0.pop();
                false
            }
            _ => false,
        }
    }

    /// Takes a node where the parser is; tells whether it is a key.
    fn take(&mut self) -> bool {
        let Some(Some(key_comes)) = self.0.last_mut() else { return false };
        let is_key = *key_comes;
        *key_comes = !is_key;
        is_key
    }
}

/// Kubectl reads a key as it reads a value, and writes out what it has read.
fn trap_as_key(word: &str) -> Option<String> {
    let is_whole = word.parse::<i64>().is_ok_and(|number| number.to_string() == word);
    let read_as = match truth(word) {
        Some(Truth::Known(truth)) if truth.to_string() != word => format!("`{truth}`"),
        None if is_number(word) && !is_whole => "a number".to_owned(),
        _ => return None,
    };
    Some(format!("kubectl reads the key `{word}` as {read_as}: put it in quotes"))
}

fn trap_as_value(word: &str) -> Option<String> {
    let is_trap = matches!(truth(word), Some(Truth::Mixed)) || (word.contains('_') && is_number(word));
    is_trap.then(|| format!("`{word}` is read in more than one way: put it in quotes"))
}

/// A word for true or false.
enum Truth {
    /// Spelled as kubectl knows it.
    Known(bool),
    /// In mixed case, such as `yEs`, which is a mere word to kubectl.
    Mixed,
}

fn truth(word: &str) -> Option<Truth> {
    let lower = word.to_ascii_lowercase();
    let truth = match lower.as_str() {
        "true" | "yes" | "on" | "y" => true,
        "false" | "no" | "off" | "n" => false,
        _ => return None,
    };
    let rest = word.get(1..).unwrap_or_default();
    let is_known = word == lower || word == word.to_ascii_uppercase() || rest == rest.to_ascii_lowercase();
    Some(if is_known { Truth::Known(truth) } else { Truth::Mixed })
}

/// Tells whether kubectl takes a word for a number: `_` counts for nothing, and `0x`, `0o`, `0b` are known.
fn is_number(word: &str) -> bool {
    let digits = word.replace('_', "").to_ascii_lowercase();
    let bare = digits.trim_start_matches(['+', '-']);
    let in_base = [("0x", 16), ("0o", 8), ("0b", 2)].iter().any(|(prefix, base)| {
        bare.strip_prefix(prefix).is_some_and(|bare| u64::from_str_radix(bare, *base).is_ok())
    });
    let begins_as_number = word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    begins_as_number && (in_base || digits.parse::<f64>().is_ok_and(f64::is_finite))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        find("f.yaml", text).map(|error| error.to_string())
    }

    #[test]
    fn what_kubectl_reads_otherwise_is_found_where_it_stands() {
        for (text, place) in [
            ("a: 1\ny: 2\n", "f.yaml:2:1: kubectl reads the key `y` as `true`"),
            ("a:\n- {x: 1, Off: 2}\n", "f.yaml:2:10: kubectl reads the key `Off` as `false`"),
            ("a: {b: {1.0: x}}\n", "f.yaml:1:9: kubectl reads the key `1.0` as a number"),
            ("0x1F: x\n", "f.yaml:1:1: kubectl reads the key `0x1F` as a number"),
            ("a: yEs\n", "f.yaml:1:4: `yEs` is read in more than one way"),
            ("- 1_0.5\n", "f.yaml:1:3: `1_0.5` is read"),
            ("a: !foo yes\n", "f.yaml:1:9: `!foo` says nothing to kubectl"),
        ] {
            let found = found(text).unwrap_or_default();
            assert!(found.starts_with(place), "{text}\n  says: {found}\n  want: {place}");
        }
    }

    #[test]
    fn what_is_quoted_or_read_alike_is_none() {
        for text in [
            "\"y\": 'yEs'\n",
            "a: yes\nb: 0644\nc: 1e3\ntrue: false\n8080: x\n-1: y\n",
            "a: [y, on]\nkey_1: value_2\nb: &a {c: d}\ne: *a\nf_g: 1.2.3\n",
            "a: !!str 0644\nb: ! 12\nc: !!binary aGk=\n",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
