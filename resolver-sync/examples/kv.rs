//! Writes, reads, compares and deletes a key, in Consul or etcd.
//!
//!     cargo run -p resolver-sync --example kv -- consul 127.0.0.1:8500
//!     cargo run -p resolver-sync --example kv -- etcd http://127.0.0.1:2379

use std::error::Error;

use resolver_sync::consul::{ConsulConfig, ConsulKv};
use resolver_sync::etcd::{EtcdConfig, EtcdKv};
use resolver_sync::kv::{Kv, Outcome};

/// One of the two registries; what follows is the same for both.
pub fn open(registry: &str, address: &str) -> Result<Box<dyn Kv>, Box<dyn Error>> {
    Ok(match registry {
        "consul" => Box::new(ConsulKv::new(ConsulConfig::new("main", address))?),
        _ => Box::new(EtcdKv::new(EtcdConfig { endpoints: vec![address.into()], ..EtcdConfig::default() })?),
    })
}

/// The seed's `kvPut`, `kvGet` and `kvDelete`, and what they lack: a missing key is no empty value, an error is no
/// answer, and who writes over what another has written meanwhile is told.
pub async fn run(kv: &dyn Kv) -> Result<Vec<String>, Box<dyn Error>> {
    let key = "config/example/max_position";
    let mut said = Vec::new();
    kv.put(key, b"1000").await?;
    let entry = kv.get(key).await?.ok_or("it was just written")?;
    said.push(format!("{} = {}", entry.key, String::from_utf8_lossy(&entry.value)));

    kv.compare_and_set(key, b"2000", entry.revision).await?;
    if let Outcome::Conflict { .. } = kv.compare_and_set(key, b"3000", entry.revision).await? {
        said.push("somebody else was faster; nothing was written".into());
    }
    let listed = kv.list("config/example/").await?;
    said.push(format!("{} key below config/example/", listed.entries.len()));

    kv.delete(key).await?;
    said.push(format!("after the deletion: {:?}", kv.get(key).await?));
    Ok(said)
}

#[allow(dead_code, clippy::print_stdout, reason = "an example, which tests run as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, registry, address] = args.as_slice() else { return Err("say consul or etcd, and where".into()) };
    let kv = open(registry, address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for line in runtime.block_on(run(kv.as_ref()))? {
        println!("{line}");
    }
    Ok(())
}
