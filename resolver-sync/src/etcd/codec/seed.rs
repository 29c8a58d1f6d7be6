//! This project's own: `{"address":"10.0.0.1","port":8080,"timestamp":1700000000}`.

use super::field::{Fields, optional, required};
use super::{Parts, one};
use crate::record::Candidate;

pub(super) fn read(mut fields: Fields) -> Parts {
    one(Candidate {
        address: required(&mut fields, "address")?,
        port: required(&mut fields, "port")?,
        weight: optional(&mut fields, "weight")?,
        tier: optional(&mut fields, "tier")?.unwrap_or_default(),
        zone: optional(&mut fields, "zone")?.unwrap_or_default(),
        tags: optional(&mut fields, "tags")?.unwrap_or_default(),
        meta: optional(&mut fields, "meta")?.unwrap_or_default(),
        ..Candidate::default()
    })
}
