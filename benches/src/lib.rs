//! What `resolve()` costs, beside floors and peers, and how it is measured.
//!
//! | file | holds |
//! |---|---|
//! | `work` | the work that all do alike: a record of seven words, read whole and folded |
//! | `path` | the order in which services are asked for: throughput, dependent |
//! | `floors` | plain loads of a line, and a plain seqlock |
//! | `ours` | this project's tables and calls |
//! | `peers` | other libraries, a file for each group; feature `peers` |
//! | `subject` | one row: a loop that reads, a write by another thread, and what it is held against |
//! | `paired`, `writer` | ratios that repeat on a noisy machine; a writer that says whether it kept its rate |
//! | `tails` | the distribution of single calls |
//! | `stopped` | a writer process that is stopped in the middle of a publication |
//! | `gates` | every bound and target, as data |
//! | `report` | tables on the terminal, in markdown and as JSON |
//!
//! Commands: `ratios` and `tails` (`--help`), `report` (writes docs/latency.md from them), `probes` (for callgrind),
//! `cargo bench` (criterion).

#![cfg_attr(not(feature = "peers-cells"), forbid(unsafe_code))]
// The bridge to C++ wants the word for a declaration; see `peers/cpp.rs`.
#![cfg_attr(feature = "peers-cells", deny(unsafe_code))]

pub mod floors;
pub mod gates;
pub mod ours;
pub mod paired;
pub mod path;
pub mod peers;
pub mod report;
pub mod stopped;
pub mod subject;
pub mod tails;
pub mod work;
pub mod writer;

pub use floors::TornLine;
pub use ours::{Memory, Services, publish};
pub use work::{consume, consume_address, consume_endpoint, fold};
