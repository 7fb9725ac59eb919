//! A path in the form of the server's conflicts, followed through an object or through the tree of a fieldsV1.

use serde_json::{Deserializer, Map, Value, json};

/// A path such as `.spec.containers[name="x"].image`. Names are not quoted in it, so one with dots in it reads like several;
/// the tree tells which is meant.
#[derive(Clone, Copy)]
pub(super) struct Path<'p>(pub(super) &'p str);

/// What selects an item of a list.
#[derive(PartialEq, Eq)]
pub(super) enum Item {
    /// The item whose fields have these values.
    Keys(Map<String, Value>),
    /// The item that is this value.
    Value(Value),
    /// The item at this place.
    Index(usize),
}

impl Path<'_> {
    /// Tells whether a fieldsV1 lists the field itself, not only what is below it.
    pub(super) fn is_owned(self, fields: &Value) -> bool {
        self.find(fields, &field, &item).is_some_and(|node| {
            node.as_object().is_some_and(|children| children.is_empty() || children.contains_key("."))
        })
    }

    /// The value at the path.
    pub(super) fn value(self, value: &Value) -> Option<&Value> {
        self.find(value, &|value, name| value.get(name), &|value, item| {
            let list = value.as_array()?;
            match item {
                Item::Index(index) => list.get(*index),
                item => list.iter().find(|found| item.selects(found)),
            }
        })
    }

    fn find<'t>(
        self,
        tree: &'t Value,
        by_name: &impl Fn(&'t Value, &str) -> Option<&'t Value>,
        by_item: &impl Fn(&'t Value, &Item) -> Option<&'t Value>,
    ) -> Option<&'t Value> {
        let Self(text) = self;
        if text.is_empty() {
            return Some(tree);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (item, rest) = Item::parse(rest)?;
            return Path(rest).find(by_item(tree, &item)?, by_name, by_item);
        }
        let text = text.strip_prefix('.')?;
        // The longest name first: `app.kubernetes.io/name` before `app`.
        ends_of_names(text)
            .rev()
            .find_map(|end| Path(&text[end..]).find(by_name(tree, &text[..end])?, by_name, by_item))
    }
}

impl Item {
    /// Reads a key of a fieldsV1 that selects an item: `k:{…}`, `v:…` or `i:…`.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        match key.split_once(':')? {
            ("k", text) => serde_json::from_str(text).ok().map(Self::Keys),
            ("v", text) => serde_json::from_str(text).ok().map(Self::Value),
            ("i", text) => text.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    /// Tells whether it is this item, by what the item holds; a place tells nothing of that.
    pub(super) fn selects(&self, item: &Value) -> bool {
        match self {
            Self::Keys(keys) => has_keys(item, keys),
            Self::Value(value) => item == value,
            Self::Index(_) => false,
        }
    }

    /// Reads what stands between brackets, and what follows them.
    fn parse(text: &str) -> Option<(Self, &str)> {
        if let Some(value) = text.strip_prefix('=') {
            let (value, rest) = leading_value(value)?;
            return Some((Self::Value(value), rest.strip_prefix(']')?));
        }
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let (index, rest) = text.split_once(']')?;
            return Some((Self::Index(index.parse().ok()?), rest));
        }
        let mut keys = Map::new();
        let mut rest = text;
        loop {
            let (name, value) = rest.split_once('=')?;
            let (value, after) = leading_value(value)?;
            keys.insert(name.to_owned(), value);
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => return Some((Self::Keys(keys), after.strip_prefix(']')?)),
            }
        }
    }
}

/// A JSON value at the start of a text, and what follows it.
fn leading_value(text: &str) -> Option<(Value, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, &text[values.byte_offset()..]))
}

/// The places where a name may end, in order.
fn ends_of_names(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    let separators = text.match_indices(['.', '[']).map(|(place, _)| place).filter(|place| *place > 0);
    separators.chain([text.len()]).collect::<Vec<_>>().into_iter()
}

fn field<'t>(fields: &'t Value, name: &str) -> Option<&'t Value> {
    fields.get(format!("f:{name}"))
}

fn item<'t>(fields: &'t Value, item: &Item) -> Option<&'t Value> {
    let mut children = fields.as_object()?.iter();
    children.find(|(key, _)| Item::of_key(key).as_ref() == Some(item)).map(|(_, child)| child)
}

/// Tells whether an item of a list has these keys; the only one that manifests leave to the server is a port's protocol.
fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(name, wanted)| match item.get(name) {
        Some(found) => found == wanted,
        None => name == "protocol" && *wanted == json!("TCP"),
    })
}
