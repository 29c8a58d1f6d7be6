//! go-zero: `10.0.0.1:8080` under `<key>/<lease id>`.

use super::field::host_port;
use super::{Parts, one};
use crate::record::Candidate;

pub(super) fn read(value: &[u8]) -> Parts {
    let text = std::str::from_utf8(value).map_err(|_| "the value is neither JSON nor text")?;
    let (address, port) = host_port(text.trim())?;
    one(Candidate { address, port, ..Candidate::default() })
}

/// The service that a prefix names by its last segment: go-zero's and etcd's own Go keys begin with the service, and often
/// nothing stands before it.
pub(super) fn named_by(prefix: &str) -> &str {
    prefix.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}
