//! Other libraries, doing the same work: a record of seven words, its place from the caller's memory, consumed whole.
//!
//! `cells` hold one value for each service, by index; `names` are maps and caches, by name; `balancers` choose one of
//! several. Each group is behind a feature of its own, `peers` is all of them; a group that is not built has no rows.

pub mod rows;

#[cfg(feature = "peers-balancers")]
pub mod balancers;
#[cfg(feature = "peers-cells")]
pub mod cells;
#[cfg(feature = "peers-cells")]
mod cpp;
#[cfg(feature = "peers-names")]
mod dns;
#[cfg(feature = "peers-names")]
pub mod names;

mod absent;

#[cfg(not(feature = "peers-balancers"))]
pub use absent::balancers;
#[cfg(not(feature = "peers-cells"))]
pub use absent::cells;
#[cfg(not(feature = "peers-names"))]
pub use absent::names;

/// The groups that are built in, for the head of a report.
pub fn groups() -> Vec<&'static str> {
    let groups = [
        ("peers-cells", cfg!(feature = "peers-cells")),
        ("peers-names", cfg!(feature = "peers-names")),
        ("peers-balancers", cfg!(feature = "peers-balancers")),
    ];
    groups.into_iter().filter(|(_, built)| *built).map(|(name, _)| name).collect()
}
