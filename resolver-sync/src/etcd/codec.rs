//! How an instance is written under a key: the conventions, and what each key and value says.
//!
//! Each convention has a file of its own, with the bytes as the tool writes them in its tests.

use crate::record::{Candidate, Rejected};

mod apisix;
mod dubbo;
mod dubbo_app;
mod field;
mod kitex;
mod kratos;
mod micro;
mod naming;
mod plain;
mod seed;
mod skydns;

use field::Fields;

/// The longest value that is read, in bytes. An instance needs a few hundred; a megabyte is a mistake or an attack.
pub const MAX_VALUE: usize = 64 * 1024;

/// How instances are written below a prefix.
///
/// The key is `<prefix><service>/<id>` where nothing else is said; the id may have more slashes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Codec {
    /// `{"address":"10.0.0.1","port":8080,"timestamp":1700000000}`, and optionally `weight`, `tier`, `zone`, `tags` (a
    /// list) and `meta` (an object of strings). Other fields are skipped; `null` counts as absent. What this project
    /// writes.
    Seed,
    /// `10.0.0.1:8080` or `[2001:db8::1]:8080`: plain text under `<service>/<lease>`, as go-zero writes it. A key with one
    /// segment below the prefix belongs to the service that the prefix itself names by its last segment.
    #[serde(alias = "plain")]
    #[serde(rename = "go-zero")]
    Plain,
    /// `{"Op":0,"Addr":"10.0.0.1:9000","Metadata":null}`, as etcd's own Go naming package writes it. Keys as with
    /// [`Codec::Plain`].
    GoNaming,
    /// `{"id":…,"name":…,"version":…,"metadata":{…},"endpoints":["grpc://10.0.0.1:9000?isSecure=false"]}`, as kratos
    /// writes it: an instance for each endpoint, with its scheme as a tag.
    Kratos,
    /// `{"name":…,"version":…,"metadata":…,"endpoints":…,"nodes":[{"id":…,"address":"10.0.0.1:9000","metadata":…}]}`, as
    /// go-micro writes it.
    GoMicro,
    /// `{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":null}`, as kitex writes it.
    Kitex,
    /// Nothing in the value, all in the key: `<interface>/providers/<the URL, escaped>`, as dubbo writes it.
    Dubbo,
    /// `{"ID":…,"ServiceName":…,"Host":"10.0.0.1","Port":20000,"Weight":0,"Enable":true,"Healthy":true,…}` under
    /// `<application>/<host>:<port>`, as dubbo-go writes it where it registers applications instead of interfaces.
    DubboApp,
    /// `<prefix><id>` with `{"nodes":{"10.0.0.1:80":1}}` or `{"nodes":[{"host":…,"port":…,"weight":…,"priority":…}]}`: an
    /// upstream of APISIX with all of its nodes. The service is the upstream's id.
    Apisix,
    /// `{"host":"10.0.0.1","port":80,"priority":10,"weight":100,"text":…,"ttl":…,"group":…}` under the domain's labels in
    /// reverse, as CoreDNS reads it: `<prefix>local/cluster/db/x1` is the instance `x1` of `db.cluster.local`.
    #[serde(rename = "skydns")]
    SkyDns,
    /// Each key by its own looks; the conventions may be mixed below one prefix.
    #[default]
    Auto,
}

/// What one key says.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The service that the key belongs to.
    pub service: String,
    /// Its instances; most conventions have one for each key.
    pub candidates: Vec<Candidate>,
    /// What could not be read.
    pub rejected: Vec<Rejected>,
}

/// The instances of a value, each with what tells it from the others of the same key as its id; or why there is none.
type Parts = Result<Vec<Result<Candidate, String>>, String>;

/// Where a key belongs.
struct Place {
    service: String,
    id: String,
}

/// A range of keys: from the first to just before the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Vec<u8>,
    pub(super) end: Vec<u8>,
}

impl Range {
    /// The keys that begin with this, which ends in a slash.
    pub(super) fn below(prefix: &str) -> Self {
        debug_assert!(prefix.ends_with('/'), "a prefix ends in a slash");
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Range { from: prefix.into(), end }
    }

    fn key(key: String) -> Self {
        let from = key.into_bytes();
        Range { end: [&from[..], &[0]].concat(), from }
    }
}

impl Codec {
    /// Where the convention's own tool puts its keys.
    pub const fn usual_prefix(self) -> &'static str {
        match self {
            Codec::Kratos => "/microservices/",
            Codec::GoMicro => "/micro/registry/",
            Codec::Kitex => "kitex/registry-etcd/",
            Codec::Dubbo => "/dubbo/",
            Codec::Apisix => "/apisix/upstreams/",
            Codec::SkyDns => "/skydns/",
            Codec::Seed | Codec::Plain | Codec::GoNaming | Codec::DubboApp | Codec::Auto => "/services/",
        }
    }

    /// Reads one key and its value. `prefix` is what every key begins with, and ends in a slash.
    ///
    /// A value that cannot be read is in [`Decoded::rejected`] under its key. `None` means that the key names no service.
    ///
    /// ```
    /// use resolver_sync::etcd::Codec;
    ///
    /// let seen = Codec::Auto.decode("/services/", b"/services/oms/1", b"10.0.0.1:9000").expect("a service");
    /// assert_eq!((seen.service.as_str(), seen.candidates[0].port), ("oms", 9000));
    /// ```
    pub fn decode(self, prefix: &str, key: &[u8], value: &[u8]) -> Option<Decoded> {
        let text = String::from_utf8_lossy(key);
        let below = text.strip_prefix(prefix)?;
        if self.is_furniture(prefix, key, value) {
            return None;
        }
        let mut fields = if value.len() > MAX_VALUE { Ok(None) } else { field::object(value) };
        let codec = self.of(below, fields.as_ref().ok().and_then(Option::as_ref), value);
        // Only where its convention was named does a key of one segment belong to the prefix's own service.
        let layout = if self == Codec::Auto && codec.begins_with_service() { Codec::Seed } else { codec };
        let place = layout.place(prefix, below)?;
        let Place { service, id } = place;
        if service.is_empty() || service.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let mut decoded = Decoded { service, ..Decoded::default() };
        let read = if std::str::from_utf8(key).is_err() {
            Err("the key is not UTF-8".into())
        } else if value.len() > MAX_VALUE {
            Err(format!("a value of {} bytes, over the limit of {MAX_VALUE}", value.len()))
        } else if id.is_empty() && codec != Codec::Apisix {
            Err(format!("the key has no instance id: {prefix}<service>/<id> is expected"))
        } else {
            let fields = std::mem::replace(&mut fields, Ok(None));
            codec.parts(&id, fields, value)
        };
        let mut refuse = |why| {
            decoded.rejected.push(Rejected { id: text.clone().into(), why: field::shorten(why) });
        };
        match read {
            Ok(parts) => {
                let alone = parts.len() == 1;
                for part in parts {
                    match part {
                        // Nothing is left of the key, or a URL of hundreds of bytes that its own id stands for.
                        Ok(candidate) if id.is_empty() || codec == Codec::Dubbo => {
                            decoded.candidates.push(candidate);
                        }
                        Ok(candidate) if alone => {
                            decoded.candidates.push(Candidate { id: id.clone(), ..candidate });
                        }
                        Ok(candidate) => {
                            let id = format!("{id}/{}", candidate.id);
                            decoded.candidates.push(Candidate { id, ..candidate });
                        }
                        Err(why) => refuse(why),
                    }
                }
            }
            Err(why) => refuse(why),
        }
        Some(decoded)
    }

    /// Whether this is a key that a convention has beside its instances: a directory, or what is no provider.
    pub(super) fn is_furniture(self, prefix: &str, key: &[u8], value: &[u8]) -> bool {
        let Some(below) = key.strip_prefix(prefix.as_bytes()) else { return false };
        match self {
            Codec::Dubbo => dubbo::is_furniture(below),
            Codec::Apisix => below.is_empty(),
            Codec::Auto => {
                below.is_empty() || dubbo::is_listed(below) || (value.is_empty() && !below.contains(&b'/'))
            }
            _ => false,
        }
    }

    /// The ranges that hold all keys of a service, and more perhaps.
    pub(super) fn ranges(self, prefix: &str, service: &str) -> Vec<Range> {
        let usual = || Range::below(&format!("{prefix}{service}/"));
        let escaped = || Range::below(&format!("{prefix}{}/", dubbo::escape(service)));
        let domain = || Range::below(&format!("{prefix}{}/", skydns::reverse(service)));
        let mut ranges = match self {
            Codec::Apisix => vec![Range::key(format!("{prefix}{service}"))],
            Codec::SkyDns => vec![domain()],
            Codec::Dubbo => vec![escaped()],
            _ if self.begins_with_service() && plain::named_by(prefix) == service => {
                // All there is below the prefix; the service's own directory is a part of that.
                return vec![Range::below(prefix)];
            }
            Codec::Auto => vec![usual(), escaped(), domain(), Range::key(format!("{prefix}{service}"))],
            _ => vec![usual()],
        };
        ranges.sort_by(|a, b| a.from.cmp(&b.from));
        ranges.dedup();
        ranges
    }

    /// Whether the tool's keys begin with the service, so that a prefix may name it.
    const fn begins_with_service(self) -> bool {
        matches!(self, Codec::Plain | Codec::GoNaming)
    }

    /// The convention that a key looks like, where none is named.
    fn of(self, below: &str, fields: Option<&Fields>, value: &[u8]) -> Self {
        if self != Codec::Auto {
            return self;
        }
        if value.is_empty() && dubbo::is_provider(below) {
            return Codec::Dubbo;
        }
        let Some(fields) = fields else {
            // JSON that cannot be read is said to be that, and anything else to be no address.
            let json = value.trim_ascii_start().starts_with(b"{");
            return if json { Codec::Seed } else { Codec::Plain };
        };
        let has = |name: &str| fields.contains_key(name);
        if has("Addr") {
            Codec::GoNaming
        } else if has("ServiceName") && has("Host") {
            Codec::DubboApp
        } else if has("nodes") || has("discovery_type") {
            if below.contains('/') { Codec::GoMicro } else { Codec::Apisix }
        } else if has("endpoints") {
            Codec::Kratos
        } else if has("network") && !has("port") {
            Codec::Kitex
        } else if has("host") && !has("address") {
            Codec::SkyDns
        } else {
            Codec::Seed
        }
    }

    fn place(self, prefix: &str, below: &str) -> Option<Place> {
        match self {
            Codec::Apisix => {
                (!below.contains('/')).then(|| Place { service: below.into(), id: String::new() })
            }
            Codec::SkyDns => skydns::place(below),
            Codec::Dubbo => dubbo::place(below),
            _ if self.begins_with_service() && !below.contains('/') && !below.is_empty() => {
                Some(Place { service: plain::named_by(prefix).into(), id: below.into() })
            }
            _ => {
                let (service, id) = below.split_once('/').unwrap_or((below, ""));
                Some(Place { service: service.into(), id: id.into() })
            }
        }
    }

    fn parts(self, id: &str, fields: Result<Option<Fields>, String>, value: &[u8]) -> Parts {
        match self {
            Codec::Plain | Codec::Auto => plain::read(value),
            Codec::Dubbo => dubbo::read(id),
            Codec::DubboApp => dubbo_app::read(field::some(fields)?),
            Codec::Seed => seed::read(field::some(fields)?),
            Codec::GoNaming => naming::read(field::some(fields)?),
            Codec::Kratos => kratos::read(field::some(fields)?),
            Codec::GoMicro => micro::read(field::some(fields)?),
            Codec::Kitex => kitex::read(field::some(fields)?),
            Codec::Apisix => apisix::read(field::some(fields)?),
            Codec::SkyDns => skydns::read(field::some(fields)?),
        }
    }
}

/// One instance in a value of its own.
fn one(candidate: Candidate) -> Parts {
    Ok(vec![Ok(candidate)])
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
