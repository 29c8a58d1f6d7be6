//! Calls back whenever a configuration value changes, on a thread of its own.
//!
//!     cargo run -p resolver-sync --example watch_config -- consul 127.0.0.1:8500 config/max_position
//!     cargo run -p resolver-sync --example watch_config -- etcd http://127.0.0.1:2379 /config/max_position
//!
//! What the critical path reads belongs into a `[[setting]]` of the agent instead: a nanosecond, and no callback.

use std::error::Error;
use std::rc::Rc;

use resolver_sync::consul::{ConsulConfig, ConsulKv};
use resolver_sync::etcd::{EtcdConfig, EtcdKv};
use resolver_sync::kv::{Kv, Target};
use resolver_sync::schema::{Bounds, Value};
use resolver_sync::subscribe::{KeyEvent, Keys};

/// One of the two registries.
pub fn open(registry: &str, address: &str) -> Result<Rc<dyn Kv>, Box<dyn Error>> {
    Ok(match registry {
        "consul" => Rc::new(ConsulKv::new(ConsulConfig::new("main", address))?),
        _ => Rc::new(EtcdKv::new(EtcdConfig { endpoints: vec![address.into()], ..EtcdConfig::default() })?),
    })
}

/// The seed's `watchConfig` with its `stoi`: but what is no number, or out of bounds, never reaches the callback.
pub async fn watch_config(kv: Rc<dyn Kv>, key: &str, bounds: Bounds, mut callback: impl FnMut(Value)) {
    Keys::new(kv, Target::Key(key.into()))
        .for_each(|event| {
            if let KeyEvent::Put(entry) = event {
                match bounds.parse(&entry.value) {
                    Ok(value) => callback(value),
                    Err(why) => eprintln!("{key}: refused, the last good value stands: {why}"),
                }
            }
        })
        .await;
}

#[allow(dead_code, clippy::print_stdout, reason = "an example, which tests run as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, registry, address, key] = args.as_slice() else {
        return Err("say consul or etcd, where, and which key".into());
    };
    let (registry, address, key) = (registry.clone(), address.clone(), key.clone());
    let watcher = std::thread::spawn(move || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let kv = open(&registry, &address).map_err(|error| error.to_string())?;
        let bounds = Bounds::I64 { min: 0, max: 1_000_000 };
        let watching = watch_config(kv, &key, bounds, |value| println!("{key} = {value}"));
        runtime.map_err(|error| error.to_string())?.block_on(watching);
        Ok(())
    });
    watcher.join().map_err(|_| "the watcher panicked")?.map_err(Into::into)
}
