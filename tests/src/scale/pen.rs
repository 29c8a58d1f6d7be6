//! Writes to the registry: many at once, or one after the other.

use std::time::Duration;

use etcd_client::{Client as EtcdClient, GetOptions, Txn, TxnOp};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::fleet::{FIRST_PORT, Fleet, Place, name};
use crate::lag::Registry;

const PREFIX: &str = "/services/";
/// The registries' own limits for one transaction are 128 and 64 operations.
const BATCH: (usize, usize) = (128, 64);
/// Transactions under way at one time.
const FLIGHT: usize = 8;
/// For one transaction.
const DEADLINE: Duration = Duration::from_secs(30);
/// Consul: the nodes that the instances are on, and services that are read back after a storm.
const NODES: u32 = 100;
const SAMPLE: u32 = 500;

/// A connection that stays open, and where the first instance of each service is.
pub(super) struct Pen {
    runtime: Runtime,
    client: Client,
    ports: Vec<u16>,
}

#[derive(Clone)]
pub(super) enum Client {
    Consul(reqwest::Client, String),
    Etcd(Box<EtcdClient>),
}

impl Pen {
    pub(super) fn new(registry: Registry, url: &str) -> Pen {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime needs an epoll descriptor and an eventfd");
        let client = match registry {
            Registry::Consul => {
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(DEADLINE);
                Client::Consul(
                    client.build().expect("a client without certificates of its own"),
                    url.to_owned(),
                )
            }
            Registry::Etcd => {
                let client = runtime.block_on(EtcdClient::connect([url], None));
                Client::Etcd(Box::new(client.unwrap_or_else(|e| panic!("{url}: {e}"))))
            }
        };
        Pen { runtime, client, ports: Vec::new() }
    }

    /// Writes all of it.
    pub(super) fn fill(&mut self, fleet: Fleet) {
        self.ports = vec![FIRST_PORT; fleet.services as usize];
        let places: Vec<Place> = fleet.all().collect();
        let client = &self.client;
        self.runtime.block_on(async {
            client.make_nodes().await;
            let mut batches = places.chunks(client.most());
            let mut flight: FuturesUnordered<_> =
                batches.by_ref().take(FLIGHT).map(|b| client.write(b)).collect();
            while flight.next().await.is_some() {
                flight.extend(batches.next().map(|batch| client.write(batch)));
            }
        });
    }

    /// Where the first instance of a service is to go next.
    pub(super) fn next(&mut self, fleet: Fleet, service: u32) -> Place {
        debug_assert!(service < fleet.services);
        let port = &mut self.ports[service as usize];
        *port = if *port >= 60_000 { FIRST_PORT } else { *port + 1 };
        Place { service, instance: 0, port: *port }
    }

    /// One transaction.
    pub(super) fn write(&self, places: &[Place]) {
        self.runtime.block_on(self.client.write(places));
    }

    /// Sleeps, while its connections are still served.
    pub(super) fn rest(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    pub(super) fn parts(&self) -> (&Runtime, &Client) {
        (&self.runtime, &self.client)
    }

    /// Where the first instances are, as the registry says: of all services, or of some that stand for them.
    pub(super) fn read(&self, fleet: Fleet) -> Vec<Place> {
        self.runtime.block_on(async {
            match &self.client {
                Client::Etcd(client) => read_etcd(client, fleet).await,
                Client::Consul(client, url) => read_consul(client, url, fleet).await,
            }
        })
    }
}

impl Client {
    /// Operations in one transaction.
    pub(super) fn most(&self) -> usize {
        match self {
            Client::Consul(..) => BATCH.1,
            Client::Etcd(_) => BATCH.0,
        }
    }

    /// One transaction, until it is answered.
    pub(super) async fn write(&self, places: &[Place]) {
        match self {
            Client::Etcd(client) => {
                let puts = places.iter().map(|place| {
                    let value = json!({ "address": place.address(), "port": place.port });
                    TxnOp::put(key(*place), value.to_string(), None)
                });
                let txn = Txn::new().and_then(puts.collect::<Vec<_>>());
                let done = tokio::time::timeout(DEADLINE, client.clone().txn(txn)).await;
                let done = done.unwrap_or_else(|_| panic!("a transaction took longer than {DEADLINE:?}"));
                done.unwrap_or_else(|e| panic!("a transaction: {e}"));
            }
            Client::Consul(client, url) => {
                let sets = places.iter().map(|place| {
                    json!({ "Service": { "Verb": "set", "Node": node(place.service), "Service": {
                        "ID": place.id(), "Service": name(place.service),
                        "Address": place.address(), "Port": place.port,
                    } } })
                });
                let body = Value::Array(sets.collect()).to_string();
                let answer = client.put(format!("{url}/v1/txn")).body(body).send().await;
                let answer = answer.unwrap_or_else(|e| panic!("a transaction: {e}"));
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                assert!(status.is_success(), "a transaction: {status}: {text}");
            }
        }
    }

    async fn make_nodes(&self) {
        let Client::Consul(client, url) = self else { return };
        for number in 0..NODES {
            let body = json!({ "Node": node(number), "Address": format!("10.250.0.{}", number + 1) });
            let answer = client.put(format!("{url}/v1/catalog/register")).body(body.to_string()).send().await;
            let answer = answer.unwrap_or_else(|e| panic!("a node: {e}"));
            assert!(answer.status().is_success(), "a node: {}", answer.status());
        }
    }
}

async fn read_etcd(client: &EtcdClient, fleet: Fleet) -> Vec<Place> {
    let mut found = Vec::new();
    let mut from = PREFIX.to_owned();
    loop {
        let options = GetOptions::new().with_range("/services0").with_limit(1000);
        let answer = client.clone().get(from.as_str(), Some(options)).await;
        let answer = answer.unwrap_or_else(|e| panic!("a listing: {e}"));
        for kv in answer.kvs() {
            let key = String::from_utf8_lossy(kv.key()).into_owned();
            from = format!("{key}\0");
            let mut parts = key.trim_start_matches(PREFIX).split('/');
            let service = parts.next().and_then(|name| name.rsplit_once('-')?.1.parse::<u32>().ok());
            if let (Some(service), Some("0")) = (service, parts.next()) {
                let value: Value = serde_json::from_slice(kv.value()).unwrap_or_default();
                let port = value["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
                found.push(Place { service, instance: 0, port });
            }
        }
        if !answer.more() {
            assert_eq!(found.len(), fleet.services as usize, "the registry has lost services");
            return found;
        }
    }
}

async fn read_consul(client: &reqwest::Client, url: &str, fleet: Fleet) -> Vec<Place> {
    let mut found = Vec::new();
    // The first is the one that every transaction of a storm has.
    for service in (0..fleet.services).step_by((fleet.services / SAMPLE).max(1) as usize) {
        let answer = client.get(format!("{url}/v1/health/service/{}?consistent", name(service))).send().await;
        let answer = answer.unwrap_or_else(|e| panic!("a listing: {e}"));
        let body: Value =
            serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default();
        let first = Place { service, instance: 0, port: 0 };
        let entries = body.as_array().cloned().unwrap_or_default();
        let entry = entries.iter().find(|entry| entry["Service"]["ID"] == first.id());
        let port = entry.and_then(|entry| u16::try_from(entry["Service"]["Port"].as_u64()?).ok());
        found.push(Place { port: port.unwrap_or(0), ..first });
    }
    found
}

fn key(place: Place) -> String {
    format!("{PREFIX}{}/{}", name(place.service), place.instance)
}

fn node(service: u32) -> String {
    format!("rack-{}", service % NODES)
}
