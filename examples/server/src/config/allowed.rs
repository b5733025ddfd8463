//! The values that a setting may have.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::value::Value;

/// The allowed values, and words for them.
pub struct Allowed<T> {
    /// The words, after "it may be".
    pub what: String,
    includes: Box<dyn Fn(&T) -> bool>,
}

impl<T> Allowed<T> {
    /// Tells whether a value is allowed.
    pub fn includes(&self, value: &T) -> bool {
        (self.includes)(value)
    }

    /// Adds the reason to the words.
    pub fn because(mut self, reason: &str) -> Self {
        self.what = format!("{}, because {reason}", self.what);
        self
    }
}

/// Allows the values that a test passes.
pub fn where_true<T>(what: &str, test: impl Fn(&T) -> bool + 'static) -> Allowed<T> {
    Allowed { what: what.to_owned(), includes: Box::new(test) }
}

/// Allows some texts or numbers, and no value where the setting is optional.
pub fn one_of<T: Value>(options: &'static [&'static str]) -> Allowed<T> {
    let what = match options {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => options.concat(),
    };
    let test = |value: &T| value.text().is_none_or(|text| options.contains(&text.as_str()));
    Allowed { what, includes: Box::new(test) }
}

/// Allows the numbers of a range.
pub fn within<T: PartialOrd + Display + 'static>(range: RangeInclusive<T>) -> Allowed<T> {
    let what = format!("{} to {}", range.start(), range.end());
    Allowed { what, includes: Box::new(move |value| range.contains(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_ends() {
        let allowed = within(1..=5);
        assert!(
            !allowed.includes(&0) && allowed.includes(&1) && allowed.includes(&5) && !allowed.includes(&6)
        );
        assert_eq!(allowed.what, "1 to 5");
    }

    #[test]
    fn options_are_listed_and_may_be_unset() {
        let allowed = one_of::<Option<usize>>(&["1", "3", "5"]);
        assert!(allowed.includes(&None) && allowed.includes(&Some(3)) && !allowed.includes(&Some(2)));
        assert_eq!(allowed.what, "1, 3 or 5");
    }
}
