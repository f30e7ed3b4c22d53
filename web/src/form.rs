//! The form for settings, and how its text becomes settings.

use vdm::config::Classes;
use vdm::sampler::Sampler;

use crate::protocol::ModelInfo;
use crate::settings::{GUIDANCE, MAX_STEPS, Settings};

/// The form, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The seed's text.
    pub seed: String,
    /// The steps' text.
    pub steps: String,
    /// The sampler.
    pub sampler: Sampler,
    /// How many images, one of [`COUNTS`](crate::settings::COUNTS).
    pub count: u32,
    /// The class's number; empty for none.
    pub class: String,
    /// The guidance's text.
    pub guidance: String,
}

impl Default for Form {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            seed: settings.seed.to_string(),
            steps: settings.steps.to_string(),
            sampler: settings.sampler,
            count: 1,
            class: String::new(),
            guidance: settings.guidance.to_string(),
        }
    }
}

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The seed.
    Seed,
    /// The number of steps.
    Steps,
    /// The class.
    Class,
    /// The guidance.
    Guidance,
    /// The sampler.
    Sampler,
    /// The number of images.
    Count,
}

/// A seed, as typed.
pub fn seed(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// A number of steps, as typed.
pub fn steps(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|steps| (1..=MAX_STEPS).contains(steps))
}

/// A guidance weight, as typed, with a point or a comma.
pub fn guidance(text: &str) -> Option<f64> {
    let text = text.trim().replace(',', ".");
    let text = text.trim_end_matches('.');
    let text = if text.starts_with('.') { format!("0{text}") } else { text.to_owned() };
    // As a number of JSON, which the page reads anyway: the tables of `f64::from_str` would add 10 kB to it.
    serde_json::from_str(&text).ok().filter(|weight| GUIDANCE.contains(weight))
}

impl Form {
    /// The value of an attribute in the class, as typed; `counts` are the numbers of values.
    pub fn value(&self, counts: &[usize], attribute: usize) -> String {
        let value = self.values(Classes(counts)).get(attribute).copied().flatten();
        value.map(|value| value.to_string()).unwrap_or_default()
    }

    /// The values of the class; all open where the weights have no such class.
    fn values(&self, classes: Classes<'_>) -> Vec<Option<usize>> {
        let count = classes.count();
        classes.values(self.class.parse().map_or(count, |class: usize| class.min(count)))
    }

    /// Asks for a value of an attribute, as typed, and leaves the others.
    pub fn ask(&mut self, counts: &[usize], attribute: usize, value: &str) {
        let classes = Classes(counts);
        let mut values = self.values(classes);
        if let Some(of) = values.get_mut(attribute) {
            *of = value.parse().ok();
        }
        let class = classes.number(&values);
        self.class = if class == classes.count() { String::new() } else { class.to_string() };
    }

    /// The settings, or every field with an unacceptable text.
    pub fn read(&self, model: Option<&ModelInfo>) -> Result<Settings, Vec<Field>> {
        let classes = model.map_or(0, ModelInfo::classes);
        let (seed, steps) = (seed(&self.seed), steps(&self.steps));
        let class = match self.class.trim() {
            "" => Some(None),
            _ if classes == 0 => Some(None),
            number => number.parse::<u32>().ok().filter(|&class| class < classes).map(Some),
        };
        let guidance = guidance(&self.guidance);
        // Without a class, the field is hidden and cannot be corrected.
        let guidance = if class == Some(None) { guidance.or(Some(0.0)) } else { guidance };
        match (seed, steps, class, guidance) {
            (Some(seed), Some(steps), Some(class), Some(guidance)) => {
                Ok(Settings { seed, steps, sampler: self.sampler, class, guidance })
            }
            _ => Err([
                (Field::Seed, seed.is_none()),
                (Field::Steps, steps.is_none()),
                (Field::Class, class.is_none()),
                (Field::Guidance, guidance.is_none()),
            ]
            .into_iter()
            .filter_map(|(field, wrong)| wrong.then_some(field))
            .collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use vdm::model::Condition;

    use super::*;

    fn form(seed: &str, steps: &str) -> Form {
        Form { seed: seed.into(), steps: steps.into(), ..Form::default() }
    }

    #[test]
    fn every_seed_of_64_bits_is_taken_exactly() {
        for seed in [0, 42, (1 << 53) + 1, u64::MAX] {
            let settings = form(&format!(" {seed} "), "50").read(None).expect("a seed");
            assert_eq!(settings.seed, seed);
        }
        assert_eq!(Form::default().read(None), Ok(Settings { ..Settings::default() }));
    }

    #[test]
    fn each_wrong_field_is_named() {
        for seed in ["", "-1", "1.5", "18446744073709551616", "1e3"] {
            assert_eq!(form(seed, "50").read(None), Err(vec![Field::Seed]), "{seed}");
        }
        for steps in ["0", "1001", "-5", "-3", "2.5", "2,5", "many"] {
            assert_eq!(form("1", steps).read(None), Err(vec![Field::Steps]), "{steps}");
        }
        assert_eq!(form("x", "x").read(None), Err(vec![Field::Seed, Field::Steps]));
    }

    #[test]
    fn attributes_are_asked_for_one_by_one() {
        let (counts, mut form) = ([2, 3], Form::default());
        assert_eq!((form.value(&counts, 0), form.value(&counts, 1)), (String::new(), String::new()));
        form.ask(&counts, 1, "2");
        assert_eq!((form.value(&counts, 0), form.value(&counts, 1)), (String::new(), "2".into()));
        form.ask(&counts, 0, "1");
        assert_eq!(
            (form.value(&counts, 0), form.value(&counts, 1), form.class.as_str()),
            ("1".into(), "2".into(), "7")
        );
        form.ask(&counts, 1, "");
        form.ask(&counts, 0, "");
        assert_eq!(form.class, "", "nothing is asked for");
        // The class of other weights.
        form.class = "99".into();
        assert_eq!((form.value(&counts, 0), form.value(&[], 0)), (String::new(), String::new()));
        form.ask(&counts, 5, "1");
        assert_eq!(form.class, "", "an attribute that there is not");
    }

    #[test]
    fn classes_count_only_where_the_model_has_them() {
        let labelled = Form { class: "3".into(), guidance: "2.5".into(), ..Form::default() };
        assert_eq!(labelled.read(None).map(|settings| settings.class), Ok(None));
        assert_eq!(
            [" 2,5", "2.5", "2.", ",5", "-1", "11", "."].map(guidance),
            [Some(2.5), Some(2.5), Some(2.0), Some(0.5), None, None, None]
        );
        let settings = Settings { class: Some(3), guidance: 2.5, ..Settings::default() };
        assert_eq!(settings.sampling_options().condition, Condition { class: Some(3), guidance: 2.5 });
        assert_eq!(Settings::default().sampling_options().condition, Condition::default());
        assert!(settings.describe().contains(&("guidance".into(), "2.5".into())));
    }
}
