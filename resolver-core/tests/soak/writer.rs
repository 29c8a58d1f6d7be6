//! The writer: sets, batches, marks, beats, names that come and go; without pause.

use std::time::Duration;

use resolver_core::{Bytes, Publication, Reader, Reason, SourceBeat, Standing, Writer};

use crate::record::{self, GROUP, PASSING, STANDINGS};

/// Makes the names that stay, and publishes each once, where that was not done before. Gives the newest number.
pub fn begin(writer: &mut Writer<'_>) -> u64 {
    for service in 0..8 {
        writer.add(record::name(service)).expect("there is room");
    }
    let newest = newest(&writer.reader()).unwrap_or(0);
    // Also after a death: each of them must have a set.
    for n in 1..=16 {
        publish(writer, newest + n);
    }
    newest + 16
}

/// The newest number that stands.
fn newest(reader: &Reader<'_>) -> Option<u64> {
    let head = |service| reader.resolve(reader.service(record::name(service))?).ok();
    (0..record::SERVICES).filter_map(|service| Some(head(service)?.id() >> 16)).max()
}

/// The `n`th publication.
pub fn publish(writer: &mut Writer<'_>, n: u64) {
    // An address holds 32 bits of it.
    assert!(n < 1 << 32, "the numbers are used up: a shorter soak");
    let turn = (n / 8) as usize;
    match n % 8 {
        0 | 4 => {
            let handles = GROUP.map(|name| writer.add(name).expect("it stands"));
            let number = writer.add_setting::<i64>(record::NUMBER).expect("there is room");
            let value = writer.add_setting::<Bytes>(record::VALUE).expect("there is room");
            let standing = STANDINGS[turn % 4];
            let mut batch = writer.batch();
            for (service, handle) in handles.into_iter().enumerate() {
                let set = record::set(service, n);
                // A key table takes long to make, so only one has it, and not always.
                let maglev = if service == 1 && n.is_multiple_of(64) { 100 * set.len() as u32 } else { 0 };
                let publication =
                    Publication { smooth: service == 0, maglev, ..Publication::new(&set, standing) };
                batch.publish_as(handle, &publication).expect("there is room");
            }
            batch.set(number, n as i64, standing).expect("it stands");
            batch.set(value, record::value(n), standing).expect("it stands");
            batch.commit();
        }
        3 => {
            let handle = writer.add(GROUP[turn % 4]).expect("it stands");
            writer.mark(handle, STANDINGS[turn / 4 % 4]).expect("it stands");
        }
        7 => {
            let name = PASSING[turn % 4];
            if !writer.remove(name) {
                let handle = writer.add(name).expect("there is room");
                let set = record::set(8 + turn % 4, n);
                writer.publish(handle, &set, Standing::FRESH, b"").expect("there is room");
            }
        }
        step => {
            // Each in turn: 1, 2, 5, 6.
            let service = 4 + if step < 3 { step as usize - 1 } else { step as usize - 3 };
            let handle = writer.add(record::name(service)).expect("it stands");
            let set = record::set(service, n);
            let (text, length) = record::text(service, n);
            let text = if set.is_empty() { &[] } else { &text[..length] };
            writer.publish(handle, &set, Standing::FRESH, text).expect("there is room");
        }
    }
    if n.is_multiple_of(64) {
        let beat = writer.reader().pulse() + 1;
        let age = Some(Duration::from_millis(beat % 1000));
        let (revision, rejected) = (beat * 3, beat as u32);
        let source = SourceBeat { name: "registry", age, revision, reason: Reason::None, rejected };
        writer.beat(&[source; 4]);
    }
}
