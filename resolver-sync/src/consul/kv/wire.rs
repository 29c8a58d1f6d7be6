//! How Consul writes keys and transactions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::kv::{Check, Op};

/// A key as Consul writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) modify_index: u64,
    #[serde(default)]
    pub(super) flags: u64,
    pub(super) session: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Verb<'a> {
    pub(super) verb: &'static str,
    pub(super) key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) flags: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) index: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) session: &'a str,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> Verb<'a> {
    pub(super) fn check(check: &'a Check) -> Self {
        match check {
            Check::Revision { key, revision } => {
                Verb { verb: "check-index", key, index: *revision, ..Verb::default() }
            }
            Check::Absent { key } => Verb { verb: "check-not-exists", key, ..Verb::default() },
        }
    }

    pub(super) fn op(op: &'a Op) -> Self {
        match op {
            Op::Put { key, value, flags, lease } => {
                let value = Some(STANDARD.encode(value));
                let (verb, session) = match lease {
                    Some(lease) => ("lock", lease.id.as_str()),
                    None => ("set", ""),
                };
                Verb { verb, key, value, flags: *flags, session, ..Verb::default() }
            }
            Op::Delete { key } => Verb { verb: "delete", key, ..Verb::default() },
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Transacted {
    pub(super) results: Option<Vec<Resulted>>,
    pub(super) errors: Option<Vec<Wrong>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Resulted {
    #[serde(rename = "KV")]
    pub(super) kv: Pair,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wrong {
    pub(super) what: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Allowed {
    pub(super) allow: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Created {
    #[serde(rename = "ID")]
    pub(super) id: String,
}
