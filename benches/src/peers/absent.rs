//! Groups that are not built in: they have no rows.
#![allow(dead_code, reason = "whatever is built in is not needed here")]

use crate::path::Path;
use crate::subject::Subject;

/// No cells.
pub mod cells {
    use super::*;

    /// None.
    pub struct Cells;

    impl Cells {
        /// None.
        pub fn new(_: usize) -> Self {
            Cells
        }

        /// None.
        pub fn subjects<'a>(&'a mut self, _: Path, _: &'a [usize]) -> Vec<Subject<'a>> {
            Vec::new()
        }

        /// None.
        pub fn one_cached(&self, _: Path) -> Vec<Subject<'_>> {
            Vec::new()
        }
    }
}

/// No maps.
pub mod names {
    use super::*;

    /// None.
    pub struct Maps;

    impl Maps {
        /// None.
        pub fn new(_: &[String]) -> Self {
            Maps
        }

        /// None.
        pub fn subjects<'a>(&'a mut self, _: Path, _: &'a [&'a str], _: &'a [usize]) -> Vec<Subject<'a>> {
            Vec::new()
        }
    }
}

/// No balancers.
pub mod balancers {
    use super::*;

    /// None.
    pub struct Balancers;

    impl Balancers {
        /// None.
        pub fn new(_: usize) -> Self {
            Balancers
        }

        /// None.
        pub fn subjects<'a>(&'a self, _: Path, _: &'a [usize]) -> Vec<Subject<'a>> {
            Vec::new()
        }
    }
}
