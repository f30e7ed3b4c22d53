//! Tables of options, as TOML files and command lines have them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor, value::MapDeserializer};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::Value as Json;
use serde_path_to_error::Error;
use toml::{Table, Value};

use crate::base::files;

/// Words for an option that is not set: TOML has no null. The first is the documented one; `run.toml` files of older
/// versions have the others.
const NOT_SET: [&str; 10] =
    ["none", "nothing", "phantoms", "held-out", "all", "any", "never", "default", "continuous", "of-the-folder"];

/// Sections within each other; options have a few.
const DEEPEST: usize = 16;

/// Reads a TOML file.
pub fn read(path: &Path) -> Result<Table> {
    let bytes = files::read(path)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not a text file", path.display()))?;
    // The message shows the line.
    text.parse()
        .map_err(|error: toml::de::Error| anyhow!("{} is not TOML: {}", path.display(), error.to_string().trim()))
}

/// Puts an assignment such as `training.batch=16` into a table.
pub fn assign(table: &mut Table, assignment: &str) -> Result<()> {
    let accepted = || format!("--set {assignment}: SECTION.KEY=VALUE is accepted, such as training.beta_2=0.999");
    let (path, value) = assignment.split_once('=').with_context(accepted)?;
    ensure!(path.split('.').count() <= DEEPEST, accepted());
    // What is not a TOML value is taken as a string, so that quoting once is enough.
    let value = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    merge(table, nested(path, value));
    Ok(())
}

/// A table with one option.
pub fn nested(option: &str, value: Value) -> Table {
    let (key, value) = match option.split_once('.') {
        Some((section, rest)) => (section, Value::Table(nested(rest, value))),
        None => (option, value),
    };
    Table::from_iter([(key.trim().to_owned(), value)])
}

/// Takes an option out of a table.
pub fn remove(table: &mut Table, option: &str) -> Option<Value> {
    match option.split_once('.') {
        Some((section, rest)) => remove(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.remove(option),
    }
}

/// Puts a table on top of another, section by section.
pub fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Every option of some settings by its name, such as `training.batch`, with its value; null where it is not set.
///
/// # Errors
/// The settings have no form as JSON.
pub fn options(settings: &impl Serialize) -> Result<Vec<(String, Json)>> {
    let mut options = Vec::new();
    flatten(String::new(), serde_json::to_value(settings)?, &mut options);
    Ok(options)
}

fn flatten(name: String, value: Json, into: &mut Vec<(String, Json)>) {
    let Json::Object(section) = value else {
        into.push((name, value));
        return;
    };
    for (key, value) in section {
        flatten(if name.is_empty() { key } else { format!("{name}.{key}") }, value, into);
    }
}

/// The settings in a table. Errors name the option.
pub fn settings<T: DeserializeOwned>(table: Table) -> Result<T, Error<toml::de::Error>> {
    serde_path_to_error::deserialize(Optional(Value::Table(table)))
}

/// A TOML value in which [words](NOT_SET) may say that an option is not set.
struct Optional(Value);

impl IntoDeserializer<'_, toml::de::Error> for Optional {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Optional {
    type Error = toml::de::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.as_str() {
            Some(word) if NOT_SET.contains(&word) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Table(table) => {
                visitor.visit_map(MapDeserializer::new(table.into_iter().map(|(key, value)| (key, Self(value)))))
            }
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}
