//! Which core the publisher has, and which the reader.

use resolver_sync::pin::{self, PinError};

/// Two cores, or none where there is only one to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) sync: Option<usize>,
    pub(crate) reader: Option<usize>,
}

impl Cores {
    /// The first core that this process may use for the sync side, as systems like to have their own work there too;
    /// the last one for the reader.
    pub(crate) fn choose() -> Self {
        Self::among(&pin::allowed())
    }

    fn among(allowed: &[usize]) -> Self {
        match allowed {
            [first, .., last] => Cores { sync: Some(*first), reader: Some(*last) },
            _ => Cores { sync: None, reader: None },
        }
    }

    /// Pins the calling thread, where there is a core for it; threads that it starts are born there.
    pub(crate) fn pin(core: Option<usize>) -> Result<(), PinError> {
        core.map_or(Ok(()), pin::pin_to)
    }

    /// What stands behind "the reader".
    pub(crate) fn describe(core: Option<usize>) -> String {
        core.map_or("on the one core that there is (nothing is pinned)".into(), |core| {
            format!("on core {core}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_cores_or_none() {
        assert_eq!(Cores::among(&[2, 3, 7]), Cores { sync: Some(2), reader: Some(7) });
        assert_eq!(Cores::among(&[2]), Cores { sync: None, reader: None });
        assert_eq!(Cores::among(&[]), Cores { sync: None, reader: None });
    }
}
