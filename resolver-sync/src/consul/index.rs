//! The index of one blocking query, by the official rules and by what the servers really did.
//!
//! An index is good for one query against one agent. It is dropped after an error, after an answer with a lower one,
//! and after an answer that did not move it. Came that early, a restored snapshot has woken the query with the old data
//! and the old index, and asking with it again would sit on the wrong endpoints for the whole wait. Came it after the
//! whole wait, it says what was true, and what the token might see, when the query was asked: a read in between shows lost
//! rights after one wait, not two.

/// Where one blocking query stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    last: Option<u64>,
}

/// What an answer's index says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer to a read without an index: the state as it is now.
    Read,
    /// Something may have changed.
    Advanced,
    /// Nothing changed for the whole wait, as far as the query could see when it was asked: read again.
    Waited,
    /// It came before the wait was over and did not advance: not to be believed, read again.
    Early,
    /// It is lower than the last one: not to be believed, read again.
    Lower,
}

impl Cursor {
    /// What to ask with: `None` is a read that returns at once. Never `Some(0)`, which would be such a read in disguise.
    pub(super) fn index(self) -> Option<u64> {
        self.last
    }

    /// Takes the index of a 200 answer; `early` says that it came before `wait` was over.
    pub(super) fn answered(&mut self, index: u64, early: bool) -> Verdict {
        let index = index.max(1);
        let verdict = match self.last {
            None => Verdict::Read,
            Some(last) if index < last => Verdict::Lower,
            Some(last) if index > last => Verdict::Advanced,
            Some(_) if early => Verdict::Early,
            Some(_) => Verdict::Waited,
        };
        self.last = match verdict {
            Verdict::Lower | Verdict::Early | Verdict::Waited => None,
            _ => Some(index),
        };
        verdict
    }

    /// After an error, or where the agent may be another one: the next query is a read.
    pub(super) fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Cursor {
        Cursor { last: Some(index) }
    }

    #[test]
    fn the_first_query_is_a_read() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.index(), None);
        assert_eq!(cursor.answered(7, true), Verdict::Read);
        assert_eq!(cursor.index(), Some(7));
    }

    #[test]
    fn an_answer_of_index_0_is_never_asked_with_0() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.answered(0, true), Verdict::Read);
        assert_eq!(cursor.index(), Some(1));
    }

    #[test]
    fn a_higher_index_advances_early_or_late() {
        for early in [true, false] {
            let mut cursor = at(7);
            assert_eq!(cursor.answered(9, early), Verdict::Advanced);
            assert_eq!(cursor.index(), Some(9));
        }
    }

    #[test]
    fn the_same_index_after_the_wait_is_followed_by_a_read() {
        let mut cursor = at(7);
        assert_eq!(cursor.answered(7, false), Verdict::Waited);
        assert_eq!(cursor.index(), None);
        assert_eq!(cursor.answered(7, true), Verdict::Read);
        assert_eq!(cursor.index(), Some(7));
    }

    #[test]
    fn the_same_index_before_the_wait_is_over_is_dropped() {
        let mut cursor = at(7);
        assert_eq!(cursor.answered(7, true), Verdict::Early);
        assert_eq!(cursor.index(), None);
    }

    #[test]
    fn a_lower_index_is_dropped() {
        for (early, lower) in [(true, 6), (false, 6), (true, 1), (false, 0)] {
            let mut cursor = at(7);
            assert_eq!(cursor.answered(lower, early), Verdict::Lower);
            assert_eq!(cursor.index(), None);
        }
    }

    #[test]
    fn an_error_drops_the_index() {
        let mut cursor = at(7);
        cursor.reset();
        assert_eq!(cursor.index(), None);
    }
}
