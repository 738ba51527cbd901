//! JSON parsing with errors that name the field and the expected type.

use crate::error::ScenarioError;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::Deref;

/// Parses `T` from JSON; `root` names the document in errors without a field.
///
/// A key with the value null is absent, if it is a field with a default.
pub(crate) fn read_json<T: DeserializeOwned + Serialize>(json: &str, root: &str) -> Result<T, ScenarioError> {
    let malformed = |path: String, error: &serde_json::Error| {
        let path = if path == "." { root.to_owned() } else { path };
        ScenarioError::Malformed { path, problem: problem_text(error) }
    };
    let mut reader = serde_json::Deserializer::from_str(json);
    let Document(given) = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| malformed(error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| malformed(root.to_owned(), &error))?;
    let value: T = serde_path_to_error::deserialize(without_nulls(&given))
        .map_err(|error| malformed(error.path().to_string(), error.inner()))?;
    let read = serde_json::to_value(&value).map_err(|error| malformed(root.to_owned(), &error))?;
    check_types(root, "", &given, &read)?;
    Ok(value)
}

/// Removes the keys of mappings that are null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        _ => value.clone(),
    }
}

/// Rejects lists and mappings of a wrong type, and null outside of fields.
///
/// serde would accept a list of a struct's values in order, and a mapping of one key as an enum variant.
fn check_types(root: &str, path: &str, given: &Value, read: &Value) -> Result<(), ScenarioError> {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().try_for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match read.get(key) {
                Some(read) => check_types(root, &path, value, read),
                None if value.is_null() => {
                    Err(ScenarioError::Malformed { path, problem: "null is not the value of a known field".to_owned() })
                }
                None => Ok(()),
            }
        }),
        (Value::Array(given), Value::Array(read)) => {
            let mut pairs = given.iter().zip(read).enumerate();
            pairs.try_for_each(|(index, (given, read))| check_types(root, &format!("{path}[{index}]"), given, read))
        }
        (Value::Array(_) | Value::Object(_), _) => {
            let type_name = |value: &Value| match value {
                Value::Array(_) => "a list",
                Value::Object(_) => "a mapping",
                _ => "a plain value",
            };
            let path = if path.is_empty() { root } else { path };
            let problem = format!("invalid type: {}, expected {}", type_name(given), type_name(read));
            Err(ScenarioError::Malformed { path: path.to_owned(), problem })
        }
        _ => Ok(()),
    }
}

/// The text of a parser error without line numbers and names of Rust types.
fn problem_text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = if error.is_data() { text.split(" at line ").next().unwrap_or_default() } else { &text };
    text.replace("expected i64", "expected an integer")
        .replace("expected u64", "expected an integer between 0 and 18446744073709551615")
        .replace("expected f64", "expected a number")
}

/// A JSON value whose parser rejects duplicate keys.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        let mut list = Vec::new();
        while let Some(Document(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Document(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
        let UniqueMap(entries) = MapVisitor(PhantomData).visit_map(map)?;
        Ok(Document(Value::Object(
            entries.into_iter().map(|(key, Document(value)): (String, _)| (key, value)).collect(),
        )))
    }
}

/// A map whose parser rejects duplicate keys, where serde would keep the last one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct UniqueMap<K: Ord, V>(BTreeMap<K, V>);

impl<K: Ord, V> Deref for UniqueMap<K, V> {
    type Target = BTreeMap<K, V>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de, K: Deserialize<'de> + Ord + Display, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

/// Visitor of a [`UniqueMap`].
pub(super) struct MapVisitor<K, V>(pub(super) PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord + Display, V: Deserialize<'de>> Visitor<'de> for MapVisitor<K, V> {
    type Value = UniqueMap<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key}")));
            }
            entries.insert(key, value);
        }
        Ok(UniqueMap(entries))
    }
}
