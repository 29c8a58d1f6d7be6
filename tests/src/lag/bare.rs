//! The floor: a watch with nothing behind it but the parser.

use std::net::SocketAddr;
use std::path::Path;

use etcd_client::WatchOptions;
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::registry::PREFIX;
use super::sheet::{Pen, Sight};
use super::{Ended, SERVICE, now};
use crate::cluster::Access;

/// A blocking query with reqwest.
pub(super) fn consul(access: &Access, sheet: &Path) -> Ended {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "Service")]
        service: Service,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Service {
        #[serde(rename = "ID")]
        id: String,
        address: String,
        port: u16,
    }
    let mut pen = Pen::open(sheet)?;
    let url = format!("{}/v1/health/service/{SERVICE}?passing=1&wait=60s", access.url);
    runtime()?.block_on(async {
        let client = access.consul(None)?;
        let (mut index, mut last) = ("0".to_owned(), None);
        loop {
            let response = client.get(format!("{url}&index={index}")).send().await?.error_for_status()?;
            if let Some(next) = response.headers().get("X-Consul-Index") {
                index = next.to_str()?.to_owned();
            }
            let body = response.bytes().await?;
            let entries: Vec<Entry> = serde_json::from_slice(&body)?;
            let Some(entry) = entries.iter().find(|entry| entry.service.id == "moving") else { continue };
            let address = SocketAddr::new(entry.service.address.parse()?, entry.service.port);
            see(address, &mut last, &mut pen)?;
        }
    })
}

/// A watch with etcd-client.
pub(super) fn etcd(access: &Access, sheet: &Path) -> Ended {
    #[derive(Deserialize)]
    struct Value {
        address: String,
        port: u16,
    }
    let mut pen = Pen::open(sheet)?;
    runtime()?.block_on(async {
        let client = access.etcd().await?;
        let options = WatchOptions::new().with_prefix().with_start_revision(1);
        let mut stream = client.watch_client().watch(PREFIX, Some(options)).await?;
        let mut last = None;
        while let Some(response) = stream.message().await? {
            for kv in response.events().iter().filter_map(|event| event.kv()) {
                if !kv.key().ends_with(b"/moving") {
                    continue;
                }
                let value: Value = serde_json::from_slice(kv.value())?;
                see(SocketAddr::new(value.address.parse()?, value.port), &mut last, &mut pen)?;
            }
        }
        Err("the watch's stream ended".into())
    })
}

/// Here the new address is there: the clock is read first.
fn see(address: SocketAddr, last: &mut Option<SocketAddr>, pen: &mut Pen) -> std::io::Result<()> {
    let at = now();
    if last.replace(address) != Some(address) {
        pen.write(address.port(), Sight { at, before: 0 })?;
    }
    Ok(())
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
