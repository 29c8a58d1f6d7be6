//! What reads keys and prints them.

use std::io::Write;
use std::rc::Rc;

use resolver_sync::kv::{Entry, Kv, Target};
use resolver_sync::subscribe::{KeyEvent, Keys};
use serde_json::{Value, json};

use super::failed;
use crate::{Failure, output};

pub(super) async fn get(kv: &dyn Kv, key: &str, raw: bool, json: bool) -> Result<(), Failure> {
    let Some(entry) = kv.get(key).await.map_err(|error| failed(&error))? else {
        let key = output::printable(key);
        return Err(output::fail(Failure::NoKey, format_args!("there is no key {key:?}")));
    };
    if raw {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(&entry.value).and_then(|()| out.flush());
        return written.map_err(|error| output::fail(Failure::Failed, error));
    }
    output::line(if json { object(&entry).to_string() } else { text(&entry.value) })
}

pub(super) async fn list(kv: &dyn Kv, prefix: &str, keys: bool, json: bool) -> Result<(), Failure> {
    let listing = kv.list(prefix).await.map_err(|error| failed(&error))?;
    for refused in &listing.refused {
        let words = format!("resolver: {:?} is left out: {}", refused.key, refused.why);
        // As with every error: where this cannot be written nothing is left to be done.
        let _ = writeln!(std::io::stderr().lock(), "{}", output::printable(&words));
    }
    if json {
        let entries: Vec<Value> = match keys {
            true => listing.entries.iter().map(|entry| json!(entry.key)).collect(),
            false => listing.entries.iter().map(object).collect(),
        };
        return output::line(json!({ "revision": listing.revision, "entries": entries }));
    }
    listing.entries.iter().try_for_each(|entry| {
        let key = output::printable(&entry.key);
        match keys {
            true => output::line(key),
            false => output::line(format_args!("{key}  {}", text(&entry.value))),
        }
    })
}

pub(super) async fn watch(kv: Rc<dyn Kv>, target: &str, json: bool) -> Result<(), Failure> {
    let target = match target {
        "" => Target::Prefix(String::new()),
        prefix if prefix.ends_with('/') => Target::Prefix(prefix.into()),
        key => Target::Key(key.into()),
    };
    let name = target.text().trim_end_matches('/');
    if !name.is_empty() {
        kv.check_key(name).map_err(|error| failed(&error))?;
    }
    let mut keys = match &target {
        Target::Key(key) => Keys::expecting(kv, target.clone(), [key.clone()]),
        Target::Prefix(_) => Keys::new(kv, target),
    };
    let mut alive = false;
    loop {
        for event in keys.next().await {
            // Once for each time that contact is there again.
            let again = event == KeyEvent::Alive && std::mem::replace(&mut alive, true);
            alive &= !matches!(event, KeyEvent::Lost(_));
            if !again {
                print(&event, json)?;
            }
        }
    }
}

fn print(event: &KeyEvent, json: bool) -> Result<(), Failure> {
    let (name, key, more) = match event {
        KeyEvent::Put(entry) if json => {
            let mut object = object(entry);
            object["event"] = json!("put");
            return output::line(object);
        }
        KeyEvent::Put(entry) => {
            ("put", entry.key.as_str(), format!("revision {}  {}", entry.revision, text(&entry.value)))
        }
        KeyEvent::Deleted { key } => ("deleted", key.as_str(), String::new()),
        KeyEvent::Refused(refused) => ("refused", refused.key.as_str(), refused.why.clone()),
        KeyEvent::Held { key, fault } => ("held", key.as_str(), fault.detail.clone()),
        KeyEvent::Lost(fault) => ("lost", "", fault.detail.clone()),
        KeyEvent::Alive => ("in-step", "", String::new()),
        KeyEvent::NewEpoch(why) => ("new-epoch", "", why.clone()),
    };
    if json {
        return output::line(json!({ "event": name, "key": key, "detail": more }));
    }
    let line = [name, key, &more].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ");
    output::line(output::printable(&line))
}

/// A value for a person: text without what a terminal could take for a command; other bytes escaped.
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => output::printable(text),
        Err(_) => value.escape_ascii().to_string(),
    }
}

/// `value` where it is text, and `bytes` with one number for each where it is not.
fn object(entry: &Entry) -> Value {
    let mut object = json!({ "key": entry.key, "revision": entry.revision });
    match std::str::from_utf8(&entry.value) {
        Ok(text) => object["value"] = json!(text),
        Err(_) => object["bytes"] = json!(entry.value),
    }
    if entry.flags != 0 {
        object["flags"] = json!(entry.flags);
    }
    if entry.leased {
        object["leased"] = json!(true);
    }
    object
}
