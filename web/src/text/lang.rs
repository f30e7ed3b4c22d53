//! The languages of the page, with their numbers and units.

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

    /// Its own name.
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

    /// A number with this many decimals.
    ///
    /// ```
    /// # use web::text::Lang;
    /// assert_eq!((Lang::En.decimal(0.25, 2), Lang::Fr.decimal(0.25, 2)), ("0.25".into(), "0,25".into()));
    /// ```
    pub fn decimal(self, value: f64, decimals: usize) -> String {
        let number = format!("{value:.decimals$}");
        match self {
            Lang::En => number,
            Lang::Fr => number.replace('.', ","),
        }
    }

    /// Bytes as megabytes.
    pub fn megabytes(self, bytes: u64) -> String {
        let millions = self.decimal(bytes as f64 / 1e6, 1);
        match self {
            Lang::En => format!("{millions} MB"),
            Lang::Fr => format!("{millions}\u{a0}Mo"),
        }
    }

    /// A time, with three or four digits.
    pub fn seconds(self, ms: f64) -> String {
        let space = self.space();
        match ms / 1000.0 {
            s if s < 10.0 => format!("{}{space}s", self.decimal(s, 2)),
            s if s < 60.0 => format!("{}{space}s", self.decimal(s, 1)),
            s => format!("{}{space}min {:02}{space}s", s as u64 / 60, s as u64 % 60),
        }
    }

    /// Steps per second; none before the first step.
    pub fn speed(self, steps: u32, ms: f64) -> Option<String> {
        if steps == 0 || ms <= 0.0 {
            return None;
        }
        let rate = f64::from(steps) / ms * 1000.0;
        let number = self.decimal(rate, usize::from(rate < 10.0));
        Some(match self {
            Lang::En => format!("{number} steps/s"),
            Lang::Fr => format!("{number}\u{a0}étapes/s"),
        })
    }

    /// An integer with its digits grouped in threes.
    pub fn grouped(self, number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push('\u{202f}');
            }
            text.push(digit);
        }
        text
    }

    /// The name of a finding of ChestX-ray14, by which many weights call their classes; none for another name.
    pub fn finding(self, name: &str) -> Option<&'static str> {
        let (english, french) = FINDINGS.iter().find(|(english, _)| english.eq_ignore_ascii_case(name))?;
        Some(match self {
            Lang::En => english,
            Lang::Fr => french,
        })
    }

    /// The space between a number and its unit.
    fn space(self) -> char {
        match self {
            Lang::En => ' ',
            Lang::Fr => '\u{a0}',
        }
    }
}

/// The findings of ChestX-ray14, in English and in French.
const FINDINGS: [(&str, &str); 17] = [
    ("No Finding", "Rien à signaler"),
    ("Normal", "Normal"),
    ("Atelectasis", "Atélectasie"),
    ("Cardiomegaly", "Cardiomégalie"),
    ("Consolidation", "Condensation"),
    ("Edema", "Œdème"),
    ("Effusion", "Épanchement pleural"),
    ("Emphysema", "Emphysème"),
    ("Fibrosis", "Fibrose"),
    ("Hernia", "Hernie"),
    ("Infiltration", "Infiltration"),
    ("Mass", "Masse"),
    ("Nodule", "Nodule"),
    ("Pleural_Thickening", "Épaississement pleural"),
    ("Pleural Thickening", "Épaississement pleural"),
    ("Pneumonia", "Pneumonie"),
    ("Pneumothorax", "Pneumothorax"),
];

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

/// The start of a hash, enough to compare by eye.
pub(super) fn short_hash(sha256: &str) -> String {
    format!("{}…", sha256.get(..12).unwrap_or(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let en = Lang::En;
        assert_eq!(en.megabytes(17_043_021), "17.0 MB");
        assert_eq!([340.0, 12_340.0, 61_000.0].map(|ms| en.seconds(ms)), ["0.34 s", "12.3 s", "1 min 01 s"]);
        assert_eq!(en.speed(50, 1000.0).as_deref(), Some("50 steps/s"));
        assert_eq!(en.speed(5, 1000.0).as_deref(), Some("5.0 steps/s"));
        assert_eq!(en.speed(0, 5.0), None);
        assert_eq!((en.grouped(999), en.grouped(8_454_144)), ("999".into(), "8\u{202f}454\u{202f}144".into()));
        assert_eq!(short_hash("abc"), "abc…");
    }

    #[test]
    fn french_writes_a_comma_and_keeps_units_together() {
        let fr = Lang::Fr;
        assert_eq!((fr.megabytes(17_043_021), fr.seconds(340.0)), ("17,0\u{a0}Mo".into(), "0,34\u{a0}s".into()));
        assert_eq!([fr.finding("pneumonia"), fr.finding("other")], [Some("Pneumonie"), None]);
        assert_eq!(fr.speed(5, 1000.0).as_deref(), Some("5,0\u{a0}étapes/s"));
    }

    #[test]
    fn tags_name_languages() {
        assert_eq!(Lang::from_tag("fr-CA"), Some(Lang::Fr));
        assert_eq!(Lang::from_tag("EN"), Some(Lang::En));
        assert_eq!(Lang::from_tag("de"), None);
    }
}
