//! Calls back whenever the instances of a service change.
//!
//!     cargo run -p resolver-sync --example watch_service -- consul 127.0.0.1:8500 oms
//!     cargo run -p resolver-sync --example watch_service -- etcd http://127.0.0.1:2379 oms
//!
//! On the critical path use a handle of the table instead; this is for who wants to be told.

use std::error::Error;
use std::rc::Rc;

use resolver_sync::consul::{ConsulConfig, ConsulSource, Services};
use resolver_sync::etcd::{EtcdConfig, EtcdSource};
use resolver_sync::record::Instance;
use resolver_sync::source::Source;
use resolver_sync::subscribe::{ServiceEvent, ServiceSets};

/// One of the two registries.
pub fn open(registry: &str, address: &str, service: &str) -> Result<Rc<dyn Source>, Box<dyn Error>> {
    Ok(match registry {
        "consul" => {
            let mut config = ConsulConfig::new("main", address);
            config.services = Services::Named(vec![service.into()]);
            Rc::new(ConsulSource::new(config)?)
        }
        // The prefix of all services; who is told picks his own.
        _ => {
            Rc::new(EtcdSource::new(EtcdConfig { endpoints: vec![address.into()], ..EtcdConfig::default() })?)
        }
    })
}

/// The seed's `watchService`. It is called with all instances, each time that they change; never with none only because
/// the registry does not answer, lost its leader or hides them.
pub async fn watch_service(source: Rc<dyn Source>, service: &str, mut callback: impl FnMut(&[Instance])) {
    ServiceSets::new(source)
        .for_each(|event| match event {
            ServiceEvent::Changed { name, set } if name == service => callback(&set.instances),
            _ => {}
        })
        .await;
}

#[allow(dead_code, clippy::print_stdout, reason = "an example, which tests run as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, registry, address, service] = args.as_slice() else {
        return Err("say consul or etcd, where, and which service".into());
    };
    let source = open(registry, address, service)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch_service(source, service, |instances| {
        println!("{service}: {} instances", instances.len());
        instances
            .iter()
            .for_each(|instance| println!("  {} {}:{}", instance.id, instance.address, instance.port));
    }));
    Ok(())
}
