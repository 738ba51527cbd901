//! JSON parsing with errors that name the field and the expected type.

use crate::error::ScenarioError;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::Deref;

/// Parses `T` from JSON; `root` names the document in errors without a field.
pub(crate) fn read_json<'de, T: Deserialize<'de> + Serialize>(json: &'de str, root: &str) -> Result<T, ScenarioError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => root.to_owned(),
            path => path,
        };
        ScenarioError::Malformed { path, problem: problem_text(&error.into_inner()) }
    })?;
    let malformed =
        |error: serde_json::Error| ScenarioError::Malformed { path: root.to_owned(), problem: error.to_string() };
    reader.end().map_err(malformed)?;
    let (given, read) =
        (serde_json::from_str(json).map_err(malformed)?, serde_json::to_value(&value).map_err(malformed)?);
    check_types(root, "", &given, &read)?;
    Ok(value)
}

/// Rejects lists and mappings where another type is expected.
///
/// serde would accept a list of a struct's values in order, and a mapping of one key as an enum variant.
fn check_types(root: &str, path: &str, given: &Value, read: &Value) -> Result<(), ScenarioError> {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().try_for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            read.get(key).map_or(Ok(()), |read| check_types(root, &path, value, read))
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
