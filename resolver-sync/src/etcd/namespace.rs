//! What stands before every key of one part of a cluster: put there on the way in, taken away on the way out, as etcd's own
//! client does it (clientv3/namespace).

use crate::kv::Target;

use super::codec::Range;

/// A tenant's part of a cluster; all of it where nothing stands before the keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespace(Vec<u8>);

impl Namespace {
    pub(super) fn new(namespace: &str) -> Self {
        Namespace(namespace.as_bytes().to_vec())
    }

    /// A key as the cluster has it.
    pub(super) fn key(&self, key: &str) -> Vec<u8> {
        [&self.0, key.as_bytes()].concat()
    }

    /// A key as it is called in here. What a server sends beside what was asked for is left as it is.
    pub(super) fn inside<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key.strip_prefix(self.0.as_slice()).unwrap_or(key)
    }

    /// The keys of a target: from the first one on, up to the second one.
    pub(super) fn range(&self, target: &Target) -> Range {
        let from = self.key(target.text());
        match target {
            Target::Key(_) => Range { end: [from.as_slice(), &[0]].concat(), from },
            // etcd's words for every key.
            Target::Prefix(_) if from.is_empty() => Range { from: vec![0], end: vec![0] },
            // Whatever is the namespace and no more is a key without a name.
            Target::Prefix(prefix) if prefix.is_empty() => {
                Range { end: after(&from), from: [from.as_slice(), &[0]].concat() }
            }
            Target::Prefix(_) => Range { end: after(&from), from },
        }
    }
}

/// The first that does not begin so. Text has no byte that could not grow.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_stays_inside() {
        let (none, desk) = (Namespace::default(), Namespace::new("/desk-a/"));
        let range = |namespace: &Namespace, target: Target| {
            let Range { from, end } = namespace.range(&target);
            (String::from_utf8(from).expect("text"), String::from_utf8(end).expect("text"))
        };
        let (key, some, all) =
            (|| Target::Key("a".into()), || Target::Prefix("c/".into()), || Target::Prefix(String::new()));
        assert_eq!(range(&none, key()), ("a".into(), "a\0".into()));
        assert_eq!(range(&none, some()), ("c/".into(), "c0".into()));
        assert_eq!(range(&none, all()), ("\0".into(), "\0".into()), "every key of the cluster");
        assert_eq!(range(&desk, key()), ("/desk-a/a".into(), "/desk-a/a\0".into()));
        assert_eq!(range(&desk, some()), ("/desk-a/c/".into(), "/desk-a/c0".into()));
        assert_eq!(range(&desk, all()), ("/desk-a/\0".into(), "/desk-a0".into()), "every key of this part");
        assert_eq!((desk.key("a"), desk.inside(b"/desk-a/a")), (b"/desk-a/a".to_vec(), &b"a"[..]));
    }
}
