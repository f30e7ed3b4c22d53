//! What each setting means: the documentation of its field, read from the source, so that it is written once.

use std::collections::BTreeMap;

/// The files that define settings.
const SOURCES: [&str; 8] = [
    include_str!("settings.rs"),
    include_str!("../data/source.rs"),
    include_str!("../data/augment.rs"),
    include_str!("../../../core/src/config/model.rs"),
    include_str!("../../../core/src/config/bands.rs"),
    include_str!("../../../core/src/config/schedule.rs"),
    include_str!("../../../core/src/config/sampling.rs"),
    include_str!("../../../core/src/config/training.rs"),
];
const ROOT: &str = "RunSettings";
/// Width of a comment in characters.
const WIDTH: usize = 100;

/// A field: its name, its type and its documentation.
type Field = (String, String, String);

/// TOML text with a comment above each setting.
pub fn explained(toml: &str) -> String {
    let structs = structs();
    let mut explanations = BTreeMap::new();
    collect(&structs, ROOT, "", &mut explanations);
    let mut section = String::new();
    let mut text = String::new();
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && let Some(explanation) = explanations.get(&format!("{section}{key}"))
        {
            text += &comment(explanation);
        }
        text += line;
        text.push('\n');
    }
    text
}

fn comment(explanation: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in explanation.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => *line += &format!(" {word}"),
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

fn collect(structs: &BTreeMap<String, Vec<Field>>, of: &str, prefix: &str, into: &mut BTreeMap<String, String>) {
    for (name, kind, docs) in &structs[of] {
        if structs.contains_key(kind) {
            collect(structs, kind, &format!("{prefix}{name}."), into);
        } else {
            into.insert(format!("{prefix}{name}"), docs.clone());
        }
    }
}

/// The structures of the sources with their public fields.
fn structs() -> BTreeMap<String, Vec<Field>> {
    let mut structs = BTreeMap::new();
    let mut current: Option<&mut Vec<Field>> = None;
    let mut docs = String::new();
    for line in SOURCES.iter().flat_map(|source| source.lines()) {
        let code = line.trim();
        if let Some(text) = code.strip_prefix("///") {
            docs += text;
            continue;
        }
        if let Some(name) = line.strip_prefix("pub struct ") {
            let name = name.trim_end_matches([' ', '{']).to_owned();
            current = Some(structs.entry(name).or_default());
        } else if line == "}" {
            current = None;
        } else if let Some(fields) = &mut current
            && let Some((name, kind)) = code.strip_prefix("pub ").and_then(|field| field.split_once(": "))
        {
            let kind = kind.trim_end_matches(',');
            let kind = kind.strip_prefix("Option<").map_or(kind, |kind| kind.trim_end_matches('>'));
            fields.push((name.to_owned(), kind.to_owned(), without_links(&docs)));
        }
        // Attributes stand between a field and its documentation.
        if !code.starts_with("#[") {
            docs.clear();
        }
    }
    structs
}

/// `[a name](a path)` → `a name`, and no backquotes.
fn without_links(docs: &str) -> String {
    let mut text = String::new();
    let mut rest = docs.trim();
    while let Some((before, link)) = rest.split_once('[') {
        text += before;
        let Some((name, after)) = link.split_once(']') else { break };
        rest = match after.strip_prefix('(').and_then(|path| path.split_once(')')) {
            Some((_, after)) => {
                text += name;
                after
            }
            None if name.starts_with('`') => {
                text += name;
                after
            }
            None => {
                text += &format!("[{name}]");
                after
            }
        };
    }
    (text + rest).replace('`', "")
}

#[cfg(test)]
mod tests {
    use toml::Table;
    use vdm::config::Preset;

    use super::*;
    use crate::run::settings::RunSettings;
    use crate::run::table;

    #[test]
    fn every_setting_of_every_preset_is_explained() {
        for &preset in Preset::ALL {
            let settings = RunSettings::of(preset, None);
            let plain = settings.to_toml().expect("TOML");
            let text = explained(&plain);
            let same = |text: &str| text.parse::<Table>().expect("TOML");
            assert_eq!(same(&text), same(&plain));
            let lines: Vec<&str> = text.lines().collect();
            for (name, value) in table::options(&settings).expect("options") {
                // What a choice is made of is explained where it stands.
                let key = name.rsplit('.').next().unwrap_or_default();
                let is_part = name.contains(".kind.");
                let found =
                    lines.windows(2).any(|pair| pair[0].starts_with("# ") && pair[1].starts_with(&format!("{key} = ")));
                assert!(value.is_null() || is_part || found, "{name} is not explained:\n{text}");
            }
            assert!(text.contains("# Optimizer steps.\nsteps = "), "{text}");
            assert!(lines.iter().all(|line| !line.starts_with('#') || line.chars().count() <= WIDTH + 20), "{text}");
            assert!(!text.contains("](") && !text.contains('`'), "{text}");
        }
    }
}
