//! dubbo's discovery by application: `<application>/<host>:<port>` with the instance as Go's encoder writes it.

use super::dubbo::WEIGHT;
use super::field::{Fields, optional, required, strings, unbracketed};
use super::{Parts, one};
use crate::record::Candidate;

pub(super) fn read(mut fields: Fields) -> Parts {
    let address: String = required(&mut fields, "Host")?;
    let said = |fields: &mut Fields, name| Ok::<_, String>(optional::<bool>(fields, name)?.unwrap_or(true));
    let (enabled, healthy) = (said(&mut fields, "Enable")?, said(&mut fields, "Healthy")?);
    let group: String = optional(&mut fields, "GroupName")?.unwrap_or_default();
    let tag: String = optional(&mut fields, "Tag")?.unwrap_or_default();
    let label = |name: &str, said: String| (!said.is_empty()).then(|| format!("{name}={said}"));
    one(Candidate {
        address: unbracketed(&address).into(),
        port: required(&mut fields, "Port")?,
        weight: optional(&mut fields, "Weight")?.filter(|weight| *weight > 0).or(Some(WEIGHT)),
        tags: label("group", group).into_iter().chain(label("tag", tag)).collect(),
        meta: strings(&mut fields, "Metadata"),
        unhealthy: !(enabled && healthy),
        ..Candidate::default()
    })
}
