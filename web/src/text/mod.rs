//! The texts of the page, in each of its languages.
//!
//! [`Words`] holds the words of one language, in groups. A `{name}` in them is a place that [`fill`] fills. [`messages`]
//! turns the state of the page into sentences, [`Lang`] writes numbers. English is part of the program; French is the
//! file `web/static/fr.txt`, which the page fetches when it is wanted and gives to [`install_french`].

#![expect(missing_docs, reason = "a word's name and its English say what it is for")]

mod en;
mod french;
mod lang;
mod learning_en;
mod lines;
pub mod messages;
mod words;

pub use self::french::{FRENCH_FILE, install_french};
pub use self::lang::{Lang, fill};
pub use self::words::Words;

impl Lang {
    /// Its words; English until they are there.
    pub fn words(self) -> &'static Words {
        match self {
            Lang::En => &en::EN,
            Lang::Fr => french::installed().unwrap_or(&en::EN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places to fill, sorted.
    fn places(template: &str) -> Vec<&str> {
        let mut places: Vec<&str> =
            template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn french_is_complete_and_is_not_english() {
        // The same in both.
        let mut same = vec!["nothing", "sha256", "moment", "count"];
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
            "conditions",
        ]);
        for ((name, english), (_, french)) in en::EN.entries().into_iter().zip(Lang::Fr.words().entries()) {
            assert!(!english.trim().is_empty() && !french.trim().is_empty(), "{name} is empty");
            assert!(english != french || same.contains(&name), "{name} is not translated: {english}");
            assert_eq!(places(english), places(french), "{name} has other places");
        }
    }

    #[test]
    fn french_has_no_break_spaces_before_its_marks() {
        for (name, french) in Lang::Fr.words().entries() {
            for mark in [" :", " ;", " !", " ?", " »", "« "] {
                assert!(!french.contains(mark), "{name} may break at `{mark}`: {french}");
            }
        }
    }

    #[test]
    fn each_language_has_its_own_words() {
        assert!(Lang::ALL.into_iter().all(|lang| lang.words().lang == lang));
    }
}
