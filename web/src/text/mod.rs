//! Every word that the page shows, in every language that it speaks.
//!
//! [`Words`] holds the words of one language, in groups; a `{name}` in them is a place that [`fill`] fills. [`say`]
//! turns what the page knows into sentences, [`Lang`] writes numbers. Another language is another file like `fr.rs`.

#![expect(missing_docs, reason = "a word's name and its English say what it is for")]

mod en;
mod format;
mod fr;
mod learn;
pub mod say;
mod words;

pub use self::learn::Learn;
pub use self::words::{About, Common, Generate, Offline, Problems, Status, Weights};

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
}

impl Lang {
    /// Every language.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Fr];

    /// The tag of BCP 47, for addresses and for the document.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Fr => "fr",
        }
    }

    /// What its speakers call it.
    pub fn name(self) -> &'static str {
        match self {
            Lang::En => "English",
            Lang::Fr => "Français",
        }
    }

    /// The language of a tag, whatever the region: `fr-CA` is French.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next()?;
        Self::ALL.into_iter().find(|lang| lang.tag().eq_ignore_ascii_case(language))
    }

    /// Its words.
    pub fn words(self) -> &'static Words {
        match self {
            Lang::En => &en::EN,
            Lang::Fr => &fr::FR,
        }
    }
}

/// The words of a language, in groups.
pub struct Words {
    pub lang: Lang,
    /// Of the whole page.
    pub common: Common,
    /// Of what is going on.
    pub status: Status,
    /// Of what goes wrong.
    pub problems: Problems,
    /// Of a service worker and of storage.
    pub offline: Offline,
    pub generate: Generate,
    pub weights: Weights,
    pub about: About,
    /// Of the five views that one learns from.
    pub learn: &'static Learn,
}

/// The template with each `{name}` replaced by its value.
///
/// ```
/// assert_eq!(web::text::fill("Step {step} of {of}", &[("step", "3"), ("of", "12")]), "Step 3 of 12");
/// ```
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&["{", name, "}"].concat(), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each group's words with their names.
    fn entries(words: &Words) -> Vec<(&'static str, &'static str)> {
        let groups = [
            words.common.entries(),
            words.status.entries(),
            words.problems.entries(),
            words.offline.entries(),
            words.generate.entries(),
            words.weights.entries(),
            words.about.entries(),
            words.learn.entries(),
        ];
        groups.concat()
    }

    /// The places to fill, in alphabetical order.
    fn places(template: &str) -> Vec<&str> {
        let mut places: Vec<&str> =
            template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn french_is_there_and_is_not_english() {
        // The same word in both.
        let mut same = vec!["nothing", "sha256", "image", "image_value", "moment", "moment_time"];
        same.extend([
            "signal",
            "gamma",
            "gamma_title",
            "snr_title",
            "latent",
            "diffusion",
            "reconstruction",
            "total",
            "pause",
        ]);
        for ((name, english), (_, french)) in entries(&en::EN).into_iter().zip(entries(&fr::FR)) {
            assert!(!english.trim().is_empty() && !french.trim().is_empty(), "{name} is empty");
            assert!(english != french || same.contains(&name), "{name} is not translated: {english}");
            assert_eq!(places(english), places(french), "{name} has other places");
        }
    }

    #[test]
    fn french_has_spaces_that_do_not_break_before_its_marks() {
        for (name, french) in entries(&fr::FR) {
            for mark in [" :", " ;", " !", " ?", " »", "« "] {
                assert!(!french.contains(mark), "{name} may break at `{mark}`: {french}");
            }
        }
    }

    #[test]
    fn tags_name_languages() {
        assert_eq!(Lang::from_tag("fr-CA"), Some(Lang::Fr));
        assert_eq!(Lang::from_tag("EN"), Some(Lang::En));
        assert_eq!(Lang::from_tag("de"), None);
        assert!(Lang::ALL.into_iter().all(|lang| lang.words().lang == lang));
    }
}
