//! Names of agents and channels.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use twox_hash::XxHash64;

use crate::error::NameError;

/// Hashes one component of a name the way SLIM does: XXH64, seed 0, over the UTF-8 bytes and one byte `0xFF`.
pub fn hash_component(text: &str) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(text.as_bytes());
    hasher.write_u8(0xFF);
    hasher.finish()
}

/// A routable name: three hashed components and, where one instance is meant, its id.
///
/// Mirrors SLIM's `EncodedName`. SLIM's "no id" constant is `None` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The hashes of the three components.
    pub components: [u64; 3],
    /// The instance, or `None` for every instance.
    pub id: Option<u128>,
}

impl Name {
    /// Hashes three strings into a name without an id.
    pub fn of(strings: [&str; 3]) -> Self {
        Self { components: strings.map(hash_component), id: None }
    }

    /// Returns this name for the instance `id`.
    pub const fn with_id(mut self, id: u128) -> Self {
        self.id = Some(id);
        self
    }
}

/// The longest text of one component that [`ChannelName::parse`] accepts, in bytes.
pub const MAX_PARSED_COMPONENT: usize = 64;

/// A destination with a sequence of its own: the three components of a name, for all ids.
///
/// Two channel names are equal when their hashed components are; the text is carried for people and for
/// permissions. In text, components are joined by `/`; a `/` inside the first two is written `%2F`, a `%` is `%25`.
#[derive(Clone)]
pub struct ChannelName {
    components: [u64; 3],
    text: Option<Arc<str>>,
}

impl ChannelName {
    /// Names a channel by its hashed components alone, for peers that send no strings.
    pub const fn from_components(components: [u64; 3]) -> Self {
        Self { components, text: None }
    }

    /// Names a channel by the strings of its components.
    pub fn from_strings(strings: [&str; 3]) -> Self {
        Self { components: strings.map(hash_component), text: Some(join(strings).into()) }
    }

    /// Restores a channel name from its parts, as a store keeps them.
    ///
    /// The text is trusted to belong to the components.
    pub fn from_parts(components: [u64; 3], text: Option<&str>) -> Self {
        Self { components, text: text.map(Into::into) }
    }

    /// Parses `organisation/namespace/service`; a fourth part belongs to the third.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule the text breaks: three parts, none empty, each at most
    /// [`MAX_PARSED_COMPONENT`] bytes of ASCII letters, digits and `-_./`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut parts = text.splitn(3, '/');
        let (Some(first), Some(second), Some(third)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NameError::Parts);
        };
        for part in [first, second, third] {
            check_component(part)?;
        }
        Ok(Self::from_strings([first, second, third]))
    }

    /// Returns the hashed components.
    pub const fn components(&self) -> [u64; 3] {
        self.components
    }

    /// Returns the text, where the channel was named by strings.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

fn check_component(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::EmptyPart);
    }
    if part.len() > MAX_PARSED_COMPONENT {
        return Err(NameError::PartTooLong { bytes: part.len(), allowed: MAX_PARSED_COMPONENT });
    }
    match part.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_./".contains(*c)) {
        Some(found) => Err(NameError::Character { found }),
        None => Ok(()),
    }
}

fn join([first, second, third]: [&str; 3]) -> String {
    let escape = |part: &str| part.replace('%', "%25");
    let inner = |part: &str| escape(part).replace('/', "%2F");
    format!("{}/{}/{}", inner(first), inner(second), escape(third))
}

impl PartialEq for ChannelName {
    fn eq(&self, other: &Self) -> bool {
        self.components == other.components
    }
}

impl Eq for ChannelName {}

impl Hash for ChannelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.components.hash(state);
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => {
                let [a, b, c] = self.components;
                write!(f, "#{a:016x}/#{b:016x}/#{c:016x}")
            }
        }
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_hash_is_xxh64_of_the_text_and_0xff() {
        assert_eq!(hash_component(""), XxHash64::oneshot(0, &[0xFF]));
        assert_eq!(hash_component("org"), XxHash64::oneshot(0, b"org\xFF"));
    }

    #[test]
    fn strings_and_hashes_name_the_same_channel() {
        let named = ChannelName::from_strings(["org", "ns", "app"]);
        let hashed = ChannelName::from_components(Name::of(["org", "ns", "app"]).components);
        assert_eq!(named, hashed);
        assert_eq!(named.to_string(), "org/ns/app");
        assert!(hashed.to_string().starts_with('#'));
    }

    #[test]
    fn parse_gives_a_fourth_part_to_the_third() {
        let parsed = ChannelName::parse("a/b/c/d").expect("valid");
        assert_eq!(parsed, ChannelName::from_strings(["a", "b", "c/d"]));
        assert_eq!(parsed.to_string(), "a/b/c/d");
    }

    #[test]
    fn parse_says_what_is_wrong() {
        assert_eq!(ChannelName::parse("a/b"), Err(NameError::Parts));
        assert_eq!(ChannelName::parse("a//c"), Err(NameError::EmptyPart));
        assert_eq!(ChannelName::parse("a/b/c d"), Err(NameError::Character { found: ' ' }));
        let long = "x".repeat(65);
        assert_eq!(
            ChannelName::parse(&format!("a/b/{long}")),
            Err(NameError::PartTooLong { bytes: 65, allowed: 64 })
        );
    }

    #[test]
    fn text_of_different_components_never_collides() {
        let one = ChannelName::from_strings(["a/b", "c", "d"]);
        let other = ChannelName::from_strings(["a", "b", "c/d"]);
        assert_ne!(one.to_string(), other.to_string());
    }
}
