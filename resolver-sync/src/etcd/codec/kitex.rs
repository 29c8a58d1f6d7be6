//! kitex: `{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":null}`.

use super::field::{Fields, host_port, optional, required, strings};
use super::{Parts, one};
use crate::record::Candidate;

/// What kitex takes where the weight is 0, negative or absent.
const WEIGHT: i64 = 10;

pub(super) fn read(mut fields: Fields) -> Parts {
    let network = optional::<String>(&mut fields, "network")?.unwrap_or_default();
    if !["", "tcp", "tcp4", "tcp6"].contains(&network.as_str()) {
        return Err(format!("network {network:?} is not tcp"));
    }
    let (address, port) = host_port(&required::<String>(&mut fields, "address")?)?;
    let weight = optional::<i64>(&mut fields, "weight")?.filter(|weight| *weight > 0).or(Some(WEIGHT));
    one(Candidate { address, port, weight, meta: strings(&mut fields, "tags"), ..Candidate::default() })
}
