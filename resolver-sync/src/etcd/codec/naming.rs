//! etcd's own Go naming package: `{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}`.

use super::field::{Fields, host_port, optional, required, strings};
use super::{Parts, one};
use crate::record::Candidate;

pub(super) fn read(mut fields: Fields) -> Parts {
    // The package removes the key to delete, and never writes another Op; its readers differ in what they make of one
    // (3.4 takes it for a deletion when it lists, 3.5 does not look), so it is not served.
    if optional::<i64>(&mut fields, "Op")?.unwrap_or(0) != 0 {
        return Err("Op is not 0 (add)".into());
    }
    let (address, port) = host_port(&required::<String>(&mut fields, "Addr")?)?;
    one(Candidate { address, port, meta: strings(&mut fields, "Metadata"), ..Candidate::default() })
}
