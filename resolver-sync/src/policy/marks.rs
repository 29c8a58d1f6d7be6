//! Numbers for words: tags as bits and zones as numbers, as endpoints carry them in the table.

use super::{PolicyError, refuse};

/// The tags of a view that are on the path: each has the bit of its place in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagBits {
    tags: Vec<String>,
}

impl TagBits {
    /// Bit 0 for the first tag, and so on.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for more than 64 tags, an empty one, or one that is there twice.
    ///
    /// ```
    /// use resolver_sync::policy::TagBits;
    ///
    /// let bits = TagBits::new(vec!["primary".into(), "canary".into()])?;
    /// assert_eq!(bits.of(&["canary".into(), "unnamed".into()]), 0b10);
    /// # Ok::<(), resolver_sync::policy::PolicyError>(())
    /// ```
    pub fn new(tags: Vec<String>) -> Result<Self, PolicyError> {
        if tags.len() > 64 {
            return refuse(format!("tag_bits names {} tags; an endpoint has 64 bits", tags.len()));
        }
        for (place, tag) in tags.iter().enumerate() {
            if tag.is_empty() {
                return refuse("tag_bits has an empty tag");
            }
            if tags[..place].contains(tag) {
                return refuse(format!("tag_bits names {tag:?} twice"));
            }
        }
        Ok(TagBits { tags })
    }

    /// The bits of an instance with these tags. A tag that is not named is not on the path.
    pub fn of(&self, tags: &[String]) -> u64 {
        let bit = |(place, tag)| u64::from(tags.contains(tag)) << place;
        self.tags.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit)
    }
}

/// The zones that have a number, and the host's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    names: Vec<String>,
    own: Option<u16>,
}

impl Zones {
    /// Number 1 for the first zone, and so on; `own` is where this host is.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for an empty name, one that is there twice, more than 65535 of them, or an own zone that is not
    /// among them.
    pub fn new(names: Vec<String>, own: Option<&str>) -> Result<Self, PolicyError> {
        if names.len() > usize::from(u16::MAX) {
            return refuse(format!("zones names {} zones; there are numbers for {}", names.len(), u16::MAX));
        }
        for (place, name) in names.iter().enumerate() {
            if name.is_empty() {
                return refuse("zones has an empty name");
            }
            if names[..place].contains(name) {
                return refuse(format!("zones names {name:?} twice"));
            }
        }
        let mut zones = Zones { names, own: None };
        if let Some(own) = own {
            match zones.number(own) {
                0 => return refuse(format!("zone {own:?} is not among the zones {:?}", zones.names)),
                number => zones.own = Some(number),
            }
        }
        Ok(zones)
    }

    /// A zone's number; 0 where it has none.
    pub fn number(&self, zone: &str) -> u16 {
        let place = self.names.iter().position(|name| name == zone);
        place.and_then(|place| u16::try_from(place + 1).ok()).unwrap_or(0)
    }

    /// The zone of a number; empty where it has none.
    pub fn name(&self, number: u16) -> &str {
        let place = usize::from(number).checked_sub(1);
        place.and_then(|place| self.names.get(place)).map_or("", String::as_str)
    }

    /// The number of the host's own zone.
    pub fn own(&self) -> Option<u16> {
        self.own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).into()).collect()
    }

    #[test]
    fn a_tag_has_the_bit_of_its_place() {
        let all: Vec<String> = (0..64).map(|tag| tag.to_string()).collect();
        let bits = TagBits::new(all.clone()).expect("64 fit");
        assert_eq!(bits.of(&words(&["0"])), 1);
        assert_eq!(bits.of(&words(&["63", "1"])), 1 << 63 | 2);
        assert_eq!(bits.of(&words(&["64", ""])), 0, "not named, not on the path");
        assert_eq!(bits.of(&all), u64::MAX);
        assert_eq!(TagBits::default().of(&all), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |tags: Vec<String>| TagBits::new(tags).expect_err("refused").to_string();
        assert!(refused((0..65).map(|tag| tag.to_string()).collect()).contains("65 tags"));
        assert!(refused(words(&["a", "b", "a"])).contains("\"a\" twice"));
        assert!(refused(words(&["a", ""])).contains("empty"));
        let refused = |names: &[&str], own| Zones::new(words(names), own).expect_err("refused").to_string();
        assert!(refused(&["a", "a"], None).contains("twice"));
        assert!(refused(&["a", ""], None).contains("empty"));
        assert!(refused(&["a", "b"], Some("c")).contains("\"c\" is not among"));
    }

    #[test]
    fn zones_count_from_one() {
        let zones = Zones::new(words(&["a", "b"]), Some("b")).expect("good");
        assert_eq!((zones.number("a"), zones.number("b"), zones.own()), (1, 2, Some(2)));
        assert_eq!((zones.number("c"), zones.number("")), (0, 0), "unknown");
        assert_eq!((zones.name(1), zones.name(2), zones.name(0), zones.name(3)), ("a", "b", "", ""));
        assert_eq!(Zones::default().own(), None);
    }
}
