//! The door to `cpp/cells.cc`: what C++ programs use, measured by a loop in C++.

#[allow(
    unsafe_code,
    missing_docs,
    reason = "cxx wants the word for functions that are safe to call; there is no block"
)]
#[cxx::bridge(namespace = "peers")]
mod bridge {
    #[repr(u8)]
    enum Kind {
        Seqlock,
        SharedPointer,
    }

    // SAFETY: all three take values and slices, check what they index tables by, and keep none of the slices. A place is
    // this crate's own: `Table` below makes sure that it is one of the table's.
    unsafe extern "C++" {
        include!("resolver-benches/src/peers/cpp/cells.h");

        type Kind;
        fn create(kind: Kind, values: &[u64]) -> usize;
        fn run(table: usize, places: &[usize], begin: u64, end: u64, dependent: bool) -> u64;
        fn write(table: usize, at: usize, value: u64);
    }
}

use bridge::Kind;

use crate::path::{Form, Path};
use crate::subject::{Role, Subject};

/// Cells of C++.
pub(super) struct Table {
    number: usize,
    length: usize,
}

impl Table {
    /// Seqlocks.
    pub(super) fn seqlocks(values: &[u64]) -> Self {
        Table { number: bridge::create(Kind::Seqlock, values), length: values.len() }
    }

    /// Each a `std::atomic<std::shared_ptr>`.
    pub(super) fn shared_pointers(values: &[u64]) -> Self {
        Table { number: bridge::create(Kind::SharedPointer, values), length: values.len() }
    }

    /// Its row.
    pub(super) fn subject<'a>(
        &'a self,
        name: &'static str,
        role: Role,
        path: Path,
        places: &[usize],
    ) -> Subject<'a> {
        assert!(places.len().is_power_of_two(), "so that a mask is within");
        assert!(places.iter().all(|place| *place < self.length), "a place that is none");
        let (dependent, list) = (path.form == Form::Dependent, places.to_vec());
        Subject::new(name, role, move |n| {
            let steps = Path::steps(n);
            bridge::run(self.number, &list, steps.start, steps.end, dependent)
        })
        .written(move |at, n| {
            assert!(at < self.length, "a place that is none");
            bridge::write(self.number, at, n);
        })
    }
}
