//! The types of settings: how each is read from a file, from a text, and shown.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::DeValue;

use super::fault::Fault;

/// What the documentation says of a setting that is not set by default.
pub const NONE: &str = "none";

/// The kind of a value in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number from 0.
    Number,
    /// `true` or `false`.
    Switch,
    /// An array of tables, which only a file has.
    Tables,
}

/// A type of setting.
pub trait Value: Sized {
    /// The kind of its values.
    const KIND: Kind;

    /// Words for the values that the type has, after "expected".
    fn expected() -> String;

    /// Parses the text of a variable, of a flag, or of a file's string.
    fn from_text(text: &str) -> Option<Self>;

    /// Returns the value as text; `None` where it is unset, or a secret.
    fn text(&self) -> Option<String>;

    /// Reads the value of a file.
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Fault> {
        let parsed = match (value.get_ref(), Self::KIND) {
            (DeValue::String(text), Kind::Text) => Self::from_text(text),
            (DeValue::Boolean(on), Kind::Switch) => Self::from_text(&on.to_string()),
            (DeValue::Integer(number), Kind::Number) => {
                let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
                number.and_then(|number| Self::from_text(&number.to_string()))
            }
            _ => None,
        };
        parsed.ok_or_else(|| Fault::new(value.span(), format!("expected {}", Self::expected())))
    }

    /// Returns the value for the documentation.
    fn markdown(&self) -> String {
        match (self.text(), Self::KIND) {
            (None, _) => NONE.to_owned(),
            (Some(number), Kind::Number) => with_separators(&number),
            (Some(text), _) => format!("`{text}`"),
        }
    }
}

/// Parses the text of a variable or a flag. An error says what was expected, and never the text.
pub fn parse<T: Value>(text: &str) -> Result<T, String> {
    T::from_text(text).ok_or_else(|| format!("expected {}", T::expected()))
}

/// Writes `65536` as `65,536`.
fn with_separators(digits: &str) -> String {
    let mut written = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {
            const KIND: Kind = Kind::Number;

            fn expected() -> String {
                format!("a whole number from 0 to {}", Self::MAX)
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

numbers!(u16, u32, u64, usize);

impl Value for bool {
    const KIND: Kind = Kind::Switch;

    fn expected() -> String {
        "true or false".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn expected() -> String {
        "a string".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Text;

    fn expected() -> String {
        "a path, as a string".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn text(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Value for SocketAddr {
    const KIND: Kind = Kind::Text;

    fn expected() -> String {
        "an address with a port, like \"127.0.0.1:5000\" or \"[::1]:5000\"".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for SecretString {
    const KIND: Kind = Kind::Text;

    fn expected() -> String {
        "a string".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn text(&self) -> Option<String> {
        None
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;

    fn expected() -> String {
        T::expected()
    }

    fn from_text(text: &str) -> Option<Self> {
        T::from_text(text).map(Some)
    }

    fn text(&self) -> Option<String> {
        self.as_ref().and_then(T::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(toml: &str) -> Result<T, String> {
        let value = DeValue::parse(toml).expect("TOML");
        T::from_toml(&value).map_err(|fault| fault.in_text(toml))
    }

    #[test]
    fn a_file_has_types() {
        assert_eq!(read::<u32>("1_000"), Ok(1_000));
        assert_eq!(read::<u32>("0x10"), Ok(16));
        assert_eq!(read::<bool>("true"), Ok(true));
        assert_eq!(read::<String>("\"5\""), Ok("5".to_owned()));
        assert!(read::<u32>("\"5\"").is_err() && read::<String>("5").is_err() && read::<bool>("1").is_err());
    }

    #[test]
    fn numbers_have_ends() {
        assert_eq!(read::<u16>("65535"), Ok(u16::MAX));
        assert_eq!(read::<u16>("65536"), Err("1: expected a whole number from 0 to 65535".to_owned()));
        assert!(read::<u16>("-1").is_err() && parse::<u16>("-1").is_err());
    }

    #[test]
    fn errors_tell_no_value() {
        assert_eq!(read::<SecretString>("1234").map(|_| ()), Err("1: expected a string".to_owned()));
        assert!(!parse::<SocketAddr>("hush").expect_err("no address").contains("hush"));
        assert_eq!(SecretString::from("hush").markdown(), "none");
    }

    #[test]
    fn numbers_are_shown_with_separators() {
        assert_eq!(1_048_576_u64.markdown(), "1,048,576");
        assert_eq!(500_u64.markdown(), "500");
        assert_eq!("strict".to_owned().markdown(), "`strict`");
    }
}
