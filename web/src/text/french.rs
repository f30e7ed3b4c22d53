//! The texts in French, read from a file.

use std::sync::OnceLock;

use super::en::EN;
use super::lang::Lang;
use super::lines::Lines;
use super::words::Words;

/// The file of the site that holds them: a line `name = text` for each, in the order of [`Words`]; `#` begins a comment,
/// `[` a group.
pub const FRENCH_FILE: &str = "fr.txt";

static FRENCH: OnceLock<Words> = OnceLock::new();

/// Makes the texts of the file those of French. False where they are not as many as this page has, as in the file of
/// another version.
pub fn install_french(file: String) -> bool {
    let mut lines = Lines::of(Box::leak(file.into_boxed_str()));
    let words = read(&mut lines);
    let whole = lines.were_all();
    whole && FRENCH.get_or_init(|| words).lang == Lang::Fr
}

/// The French texts, once they are installed.
pub(super) fn installed() -> Option<&'static Words> {
    #[cfg(test)]
    FRENCH.get_or_init(|| read(&mut Lines::of(include_str!("../../static/fr.txt"))));
    FRENCH.get()
}

fn read(lines: &mut Lines) -> Words {
    let mut words = Words { lang: Lang::Fr, ..EN };
    words.translate(lines);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../static/fr.txt");

    #[test]
    fn the_file_names_its_texts_in_their_order() {
        let names = FILE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        let expected: Vec<&str> = Lang::En.words().entries().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected);
        let odd = FILE.lines().find(|line| !line.is_empty() && !line.starts_with(['#', '[']) && !line.contains(" = "));
        assert_eq!(odd, None, "neither a comment, nor a group, nor a text");
    }

    #[test]
    fn a_file_of_another_version_is_refused() {
        assert!(!install_french(String::new()));
        assert!(!install_french("<!doctype html>".into()));
        assert!(!install_french(format!("{FILE}one_more = text\n")));
        let (cut, _) = FILE.rsplit_once("ancestral = ").expect("its last text");
        assert!(!install_french(cut.into()));
        assert!(install_french(FILE.into()));
    }
}
