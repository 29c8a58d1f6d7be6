//! What the tests of `resolver kv` stand on.

use resolver_tests::{Consul, ConsulOptions, Host, Process, Ran, Registry};
use serde_json::Value;

use super::SOON;

/// A registry, and a host with the commands.
pub struct Scene {
    pub registry: Registry,
    pub host: Host,
}

impl Scene {
    pub fn new(registry: Registry) -> Self {
        Scene { registry, host: Host::new() }
    }

    fn flags(&self) -> [String; 2] {
        match &self.registry {
            Registry::Consul(consul) => ["--consul".into(), consul.url()],
            Registry::Etcd(etcd) => ["--etcd".into(), etcd.url()],
        }
    }

    #[track_caller]
    pub fn kv(&self, args: &[&str]) -> Ran {
        let [flag, url] = self.flags();
        self.host.run(&[&["kv", &flag, &url], args].concat())
    }

    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Process {
        let [flag, url] = self.flags();
        self.host.start(&[&["kv", &flag, &url, "--json"], args].concat())
    }

    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.kv(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// What ends with this code and says these words.
    #[track_caller]
    pub fn refused(&self, args: &[&str], code: i32, words: &str) {
        let ran = self.kv(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }

    /// As somebody else's tool writes.
    #[track_caller]
    pub fn put_by_others(&self, key: &str, value: &[u8]) {
        match &self.registry {
            Registry::Consul(consul) => {
                let path = format!("/v1/kv/{key}");
                let put = consul.request("PUT", &path, None, Some(value.to_vec()), SOON).expect("an answer");
                assert_eq!(put.status, 200, "{}", put.text());
            }
            Registry::Etcd(etcd) => etcd.put(key, value),
        }
    }

    /// As somebody else's tool reads.
    #[track_caller]
    pub fn get_by_others(&self, key: &str) -> Option<Vec<u8>> {
        match &self.registry {
            Registry::Consul(consul) => {
                let path = format!("/v1/kv/{key}?raw");
                let got = consul.request("GET", &path, None, None, SOON).expect("an answer");
                (got.status == 200).then_some(got.body)
            }
            Registry::Etcd(etcd) => {
                let got = etcd.etcdctl(&["get", "--print-value-only", "--", key]);
                got.strip_suffix('\n').map(|value| value.as_bytes().to_vec())
            }
        }
    }
}

/// The same of each registry.
pub fn both(test: impl Fn(Scene)) {
    test(Scene::new(Registry::etcd()));
    test(Scene::new(Registry::Consul(Consul::start(ConsulOptions::new()))));
}
