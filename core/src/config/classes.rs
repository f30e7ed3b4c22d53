//! What images can be asked for: classes as combinations of attributes' values.

use serde::{Deserialize, Serialize};

/// Something that is known of images and can be asked for, such as the finding, the view or the sex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The names of its values, in the order of their numbers.
    pub values: Vec<String>,
}

/// The classes of a model, from the number of values of each of its attributes.
///
/// A class gives each attribute a value or leaves it open. Its number has a digit for each attribute, the first attribute's
/// the lowest: the value, or the number of values where it is open. So the labels of a single attribute are its values, and
/// the class that leaves everything open has the highest number, [`count`](Self::count).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes<'a>(pub &'a [usize]);

impl Classes<'_> {
    /// The number of classes that leave not everything open; 0 for an unconditional model.
    pub fn count(self) -> usize {
        self.0.iter().fold(1_usize, |count, values| count.saturating_mul(values.saturating_add(1))) - 1
    }

    /// The value of each attribute in a class; none where it is open.
    pub fn values(self, class: usize) -> Vec<Option<usize>> {
        let mut rest = class;
        let digit = |&values: &usize| {
            let digit = rest % (values + 1);
            rest /= values + 1;
            Some(digit).filter(|&digit| digit < values)
        };
        self.0.iter().map(digit).collect()
    }

    /// The class with these values.
    pub fn number(self, values: &[Option<usize>]) -> usize {
        let digits = self.0.iter().zip(values).rev();
        digits.fold(0, |number, (&values, value)| number * (values + 1) + value.unwrap_or(values))
    }

    /// Whether an image of the class `image` has all that `class` asks for.
    pub fn includes(self, class: usize, image: usize) -> bool {
        let (wanted, known) = (self.values(class), self.values(image));
        wanted.iter().zip(known).all(|(wanted, known)| wanted.is_none() || *wanted == known)
    }

    /// The names of the values of a class, such as `Pneumonia` and `PA`; none if one is missing.
    pub fn names(self, class: usize, attributes: &[Attribute]) -> Vec<&str> {
        let values = self.values(class).into_iter().enumerate();
        let name = |(i, value): (usize, Option<usize>)| {
            value.map(|value| attributes.get(i).and_then(|of| of.values.get(value)).map(String::as_str))
        };
        values.filter_map(name).collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    /// The class of names of values, such as `Pneumonia, PA` or `view=PA`, in any order. None if there is no such value, or
    /// two of one attribute.
    pub fn named(self, text: &str, attributes: &[Attribute]) -> Option<usize> {
        let mut values = vec![None; self.0.len()];
        let place = |part: &str| {
            let (of, name) = part.split_once('=').map_or((None, part), |(of, name)| (Some(of.trim()), name.trim()));
            attributes.iter().take(self.0.len()).enumerate().find_map(|(i, attribute)| {
                let fits = of.is_none_or(|of| attribute.name.eq_ignore_ascii_case(of));
                let value = attribute.values.iter().take(self.0[i]).position(|value| value == name);
                value.filter(|_| fits).map(|value| (i, value))
            })
        };
        // A name may have a comma of its own.
        if let Some((i, value)) = place(text.trim()) {
            values[i] = Some(value);
            return Some(self.number(&values));
        }
        for part in text.split(',') {
            let (i, value) = place(part.trim())?;
            if values[i].replace(value).is_some() {
                return None;
            }
        }
        Some(self.number(&values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_digit_for_each_attribute() {
        let classes = Classes(&[2, 3]);
        assert_eq!(classes.count(), 11);
        assert_eq!(classes.values(11), [None, None]);
        for class in 0..=11 {
            assert_eq!(classes.number(&classes.values(class)), class);
        }
        assert_eq!(classes.values(classes.number(&[Some(1), None])), [Some(1), None]);
        // One attribute's classes are its values, and no attributes have none.
        assert_eq!(
            (Classes(&[4]).count(), Classes(&[4]).values(3), Classes(&[4]).values(4)),
            (4, vec![Some(3)], vec![None])
        );
        assert_eq!((Classes(&[]).count(), Classes(&[]).values(0)), (0, vec![]));
        assert!(Classes(&[usize::MAX, 7]).count() > 10_000);
    }

    #[test]
    fn an_image_belongs_to_all_classes_that_it_has_the_values_of() {
        let classes = Classes(&[2, 3]);
        let class = |values: [Option<usize>; 2]| classes.number(&values);
        let image = class([Some(1), Some(2)]);
        for (of, included) in [
            ([None, None], true),
            ([Some(1), None], true),
            ([None, Some(2)], true),
            ([Some(1), Some(2)], true),
            ([Some(0), None], false),
            ([Some(1), Some(0)], false),
        ] {
            assert_eq!(classes.includes(class(of), image), included, "{of:?}");
        }
        assert!(!classes.includes(image, class([Some(1), None])), "its view is not known");
    }

    #[test]
    fn classes_are_asked_for_by_name() {
        let attribute = |name: &str, values: &[&str]| Attribute {
            name: name.to_owned(),
            values: values.iter().map(ToString::to_string).collect(),
        };
        let names = [attribute("finding", &["No Finding", "Mass, large"]), attribute("view", &["AP", "PA"])];
        let classes = Classes(&[2, 2]);
        let named = |text: &str| classes.named(text, &names).map(|class| classes.values(class));
        assert_eq!(named("No Finding"), Some(vec![Some(0), None]));
        assert_eq!(named("Mass, large"), Some(vec![Some(1), None]));
        assert_eq!(named("PA, No Finding"), Some(vec![Some(0), Some(1)]));
        assert_eq!(named("view=AP,finding=No Finding"), Some(vec![Some(0), Some(0)]));
        for refused in ["", "pa", "PA,AP", "finding=PA", "PA,"] {
            assert_eq!(named(refused), None, "{refused}");
        }
        assert_eq!(classes.names(classes.number(&[Some(1), Some(0)]), &names), ["Mass, large", "AP"]);
        assert!(classes.names(classes.count(), &names).is_empty());
        assert!(classes.names(0, &names[..1]).is_empty(), "a file with fewer names than values");
    }
}
