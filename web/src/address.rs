//! The address of the page: view, backend, language and image.

use strum::{EnumString, IntoStaticStr, VariantArray};
use vdm::sampler::Sampler;

use crate::form::{Field, Form, guidance, seed, steps};
use crate::protocol::BackendPreference;
use crate::settings::{COUNTS, Settings};
use crate::text::Lang;

/// Digits of a hash in a link.
const HASH_DIGITS: usize = 16;
/// Characters of a text that a link gives and the page shows.
const MAX_SHOWN: usize = 40;

/// A view of the page, in the order of the navigation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum View {
    /// Images from noise.
    #[default]
    Generate,
    /// A real X-ray beside a drawn one.
    Game,
    /// How it works, chapter by chapter.
    Story,
    /// A small model that learns.
    Learn,
    /// From an image to noise, and back.
    Forward,
    /// The noise schedule.
    Schedule,
    /// The variational bound.
    Bound,
    /// A map of pictures, with the run on it.
    Map,
    /// One seed, drawn for one class and for another.
    Conditions,
    /// Between two seeds.
    Between,
    /// Two samplers side by side.
    Race,
    /// The weights, of the site and of the user.
    Weights,
    /// How it works, and its ethics.
    About,
}

impl View {
    /// Whether it is a chapter of the story.
    pub fn is_chapter(self) -> bool {
        use View::{Between, Bound, Conditions, Forward, Map, Race, Schedule};
        matches!(self, Forward | Schedule | Bound | Map | Conditions | Between | Race)
    }

    /// The name in addresses.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The view of an address's fragment, such as `#race`; an unknown one is the first view.
    pub fn from_hash(hash: &str) -> Self {
        hash.trim_start_matches('#').parse().unwrap_or_default()
    }
}

/// The content of an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Address {
    /// The backend.
    pub backend: BackendPreference,
    /// The language.
    pub lang: Option<Lang>,
    /// Whether the page is in kiosk mode.
    pub kiosk: bool,
    /// Whether the page waits for the button before it draws.
    pub waits: bool,
    /// An image.
    pub link: Option<Link>,
    /// What cannot be followed of the image: fields with their texts.
    pub faults: Vec<(Field, String)>,
}

/// An image, or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// How to make it.
    pub settings: Settings,
    /// The number of images, with seeds from that of the settings on.
    pub count: u32,
    /// The start of the hash of the weights that made it.
    pub weights: Option<String>,
}

impl Address {
    /// Reads the part of an address from `?` on. What is not known or not possible counts as not there, so that a link
    /// that is a little broken still opens; what is wrong with its image is in `faults`.
    ///
    /// ```
    /// let address = web::address::Address::parse("?seed=7&steps=12&sampler=ddim&kiosk");
    /// let link = address.link.expect("a link");
    /// assert_eq!((link.settings.seed, link.settings.steps, link.count, address.kiosk), (7, 12, 1, true));
    /// ```
    pub fn parse(search: &str) -> Self {
        let pairs = || search.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = |name: &str| pairs().find(|(key, _)| *key == name).map(|(_, value)| value);
        let mut faults = Vec::new();
        Self {
            backend: BackendPreference::from_address(value("backend")),
            lang: value("lang").and_then(Lang::from_tag),
            kiosk: value("kiosk").is_some_and(|value| value != "0"),
            waits: value("draw") == Some("no"),
            link: Link::read(value, &mut faults),
            faults,
        }
    }

    /// The part of an address from `?` on; empty by default.
    pub fn search(&self) -> String {
        let mut pairs: Vec<String> = Vec::new();
        match self.backend {
            BackendPreference::Cpu => pairs.push("backend=cpu".into()),
            BackendPreference::WebGpu => pairs.push("backend=webgpu".into()),
            BackendPreference::Auto | BackendPreference::CpuAfterGpuFailure => {}
        }
        pairs.extend(self.lang.map(|lang| ["lang=", lang.tag()].concat()));
        pairs.extend(self.kiosk.then(|| "kiosk".into()));
        pairs.extend(self.waits.then(|| "draw=no".into()));
        pairs.extend(self.link.iter().flat_map(Link::pairs));
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

impl Link {
    /// A link to images of the weights with this hash.
    pub fn new(settings: Settings, count: u32, weights: &str) -> Self {
        let weights = weights.get(..HASH_DIGITS).map(str::to_owned);
        Self { settings, count, weights }
    }

    fn read<'a>(value: impl Fn(&str) -> Option<&'a str>, faults: &mut Vec<(Field, String)>) -> Option<Self> {
        let default = Settings::default();
        let mut note = |field: Field, text: &str| faults.push((field, text.chars().take(MAX_SHOWN).collect()));
        let mut settings = default.clone();
        let text = |name: &str| value(name).filter(|text| !text.is_empty());
        let taken = text("seed").and_then(seed);
        match (text("seed"), taken) {
            (Some(text), None) => note(Field::Seed, text),
            (_, seed) => settings.seed = seed.unwrap_or_default(),
        }
        if let Some(text) = text("sampler") {
            text.parse::<Sampler>().map_or_else(|_| note(Field::Sampler, text), |sampler| settings.sampler = sampler);
        }
        if let Some(text) = text("steps") {
            steps(text).map_or_else(|| note(Field::Steps, text), |steps| settings.steps = steps);
        }
        if let Some(text) = text("class") {
            text.parse().map_or_else(|_| note(Field::Class, text), |class| settings.class = Some(class));
        }
        if let Some(text) = text("guidance") {
            guidance(text).map_or_else(|| note(Field::Guidance, text), |guidance| settings.guidance = guidance);
        }
        let mut count = 1;
        if let Some(text) = text("count") {
            let taken = text.parse().ok().filter(|count| COUNTS.contains(count));
            taken.map_or_else(|| note(Field::Count, text), |taken| count = taken);
        }
        // Without a seed there is no link.
        taken?;
        let hexadecimal = |hash: &&str| hash.bytes().all(|c| c.is_ascii_hexdigit());
        let weights = text("weights").filter(hexadecimal).map(str::to_ascii_lowercase);
        Some(Self { settings, count, weights })
    }

    fn pairs(&self) -> Vec<String> {
        let Settings { seed, steps, sampler, class, guidance } = &self.settings;
        let mut pairs = vec![format!("seed={seed}"), format!("sampler={}", sampler.name()), format!("steps={steps}")];
        if self.count > 1 {
            pairs.push(format!("count={}", self.count));
        }
        if let Some(class) = class {
            pairs.push(format!("class={class}"));
            pairs.push(format!("guidance={guidance}"));
        }
        pairs.extend(self.weights.iter().map(|hash| ["weights=", hash].concat()));
        pairs
    }

    /// The form of these images.
    pub fn form(&self) -> Form {
        Form {
            seed: self.settings.seed.to_string(),
            steps: self.settings.steps.to_string(),
            sampler: self.settings.sampler,
            count: self.count,
            class: self.settings.class.map(|class| class.to_string()).unwrap_or_default(),
            guidance: self.settings.guidance.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_survives_its_address() {
        let hash = "0123456789abcdef".repeat(4);
        for (class, count) in [(None, 1), (Some(3), 16)] {
            let settings = Settings { seed: u64::MAX, steps: 12, sampler: Sampler::Ancestral, class, guidance: 2.5 };
            let link = Link::new(settings.clone(), count, &hash);
            assert_eq!(link.weights.as_deref(), Some("0123456789abcdef"));
            let address = Address {
                backend: BackendPreference::Cpu,
                lang: Some(Lang::Fr),
                kiosk: true,
                waits: true,
                link: Some(link),
                faults: Vec::new(),
            };
            let mut read = Address::parse(&address.search());
            if class.is_none() {
                // Guidance is part of a link only with a class.
                assert_eq!(read.link.as_ref().map(|link| link.settings.guidance), Some(0.0));
                read.link.iter_mut().for_each(|link| link.settings.guidance = 2.5);
            }
            assert_eq!(read, address);
        }
        assert_eq!(Address::default().search(), "");
        assert_eq!(Address::parse(""), Address::default());
    }

    #[test]
    fn impossible_values_are_ignored_and_named() {
        for seed in ["x", "-1", "18446744073709551616"] {
            let address = Address::parse(&format!("?seed={seed}&steps=3"));
            assert_eq!((address.link, address.faults), (None, vec![(Field::Seed, seed.to_owned())]));
        }
        let address = Address::parse("?seed=1&steps=0&sampler=magic&count=7&class=x&guidance=NaN&weights=%3Cb%3E");
        let expected = Link { settings: Settings { seed: 1, ..Settings::default() }, count: 1, weights: None };
        assert_eq!(address.link, Some(expected));
        let fields: Vec<Field> = address.faults.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, [Field::Sampler, Field::Steps, Field::Class, Field::Guidance, Field::Count]);
        assert_eq!(Address::parse("").faults, []);
        assert!(!Address::parse("?kiosk=0").kiosk);
    }

    #[test]
    fn each_view_has_an_address() {
        for &view in View::VARIANTS {
            assert_eq!(View::from_hash(&format!("#{}", view.name())), view);
        }
        assert_eq!(View::from_hash("#nowhere"), View::Generate);
        assert_eq!(View::from_hash(""), View::Generate);
    }

    #[test]
    fn a_link_fills_the_form() {
        let settings = Settings { seed: 9, steps: 7, sampler: Sampler::Ddim, ..Settings::default() };
        let form = Link { settings: settings.clone(), count: 4, weights: None }.form();
        assert_eq!((form.read(None), form.count), (Ok(settings), 4));
    }
}
