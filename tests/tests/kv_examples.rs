//! The seed's examples in our form, against the real servers: keys, watching a service, watching a configuration value.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use resolver_sync::schema::{Bounds, Value};
use resolver_tests::{Place, Registry};

#[path = "../../resolver-sync/examples/kv.rs"]
mod kv;
#[path = "../../resolver-sync/examples/watch_config.rs"]
mod watch_config;
#[path = "../../resolver-sync/examples/watch_service.rs"]
mod watch_service;

const SOON: Duration = Duration::from_secs(15);

fn address(registry: &Registry) -> String {
    match registry {
        Registry::Consul(consul) => consul.url(),
        Registry::Etcd(etcd) => etcd.url(),
    }
}

/// Drives a watch on this thread until `done`, while `act` is called between two looks.
fn drive(watch: impl Future<Output = ()>, mut done: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    runtime.block_on(async {
        let looked = async {
            while !done() {
                assert!(start.elapsed() < SOON, "not within {SOON:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! { () = watch => panic!("a watch does not end"), () = looked => {} }
    });
}

fn keys(registry: &Registry) {
    let kv = kv::open(registry.name(), &address(registry)).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let said = runtime.block_on(kv::run(kv.as_ref())).expect("a registry that works");
    let expected = [
        "config/example/max_position = 1000",
        "somebody else was faster; nothing was written",
        "1 key below config/example/",
        "after the deletion: None",
    ];
    assert_eq!(said, expected);
}

fn services(registry: &Registry) {
    registry.put("oms", Place::new(1, 0));
    let source = watch_service::open(registry.name(), &address(registry), "oms").expect("an address");
    let told = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&told);
    let mut step = 0;
    drive(
        watch_service::watch_service(source, "oms", |instances| seen.borrow_mut().push(instances.len())),
        || {
            let counts = told.borrow().clone();
            match (step, counts.last()) {
                (0, Some(1)) => registry.put("oms", Place::new(2, 0)),
                (1, Some(2)) => registry.remove("oms", 1),
                (2, Some(1)) => registry.remove("oms", 2),
                (3, Some(0)) => return true,
                _ => return false,
            }
            step += 1;
            false
        },
    );
    assert_eq!(*told.borrow(), [1, 2, 1, 0], "each change once, and empty only when it is");
}

fn configuration(registry: &Registry) {
    let key = "config/max_position";
    let put = |value: &str| match registry {
        Registry::Consul(consul) => {
            let path = format!("/v1/kv/{key}");
            let put = consul.request("PUT", &path, None, Some(value.into()), SOON).expect("an answer");
            assert_eq!(put.status, 200, "{}", put.text());
        }
        Registry::Etcd(etcd) => etcd.put(key, value),
    };
    put("1000");
    let kv = watch_config::open(registry.name(), &address(registry)).expect("an address");
    let told = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&told);
    let bounds = Bounds::I64 { min: 0, max: 1_000_000 };
    let mut step = 0;
    drive(watch_config::watch_config(kv, key, bounds, |value| seen.borrow_mut().push(value)), || {
        let values = told.borrow().clone();
        match (step, values.last()) {
            (0, Some(Value::I64(1000))) => {
                // The second would be 2000 to the seed's `stoi`, and the third is out of bounds.
                put("2000 lots");
                put("1000001");
                put("3000");
            }
            (1, Some(Value::I64(3000))) => return true,
            _ => return false,
        }
        step += 1;
        false
    });
    assert_eq!(*told.borrow(), [Value::I64(1000), Value::I64(3000)]);
}

#[test]
fn the_examples_work_on_consul() {
    let registry = Registry::consul();
    keys(&registry);
    services(&registry);
    configuration(&registry);
}

#[test]
fn the_examples_work_on_etcd() {
    let registry = Registry::etcd();
    keys(&registry);
    services(&registry);
    configuration(&registry);
}
