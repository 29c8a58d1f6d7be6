//! Being told of changes: of keys and of services, as a stream or with a callback.
//!
//! Neither is polled for: each holds the registry's own watch. What looks like an outage is confirmed by a second,
//! consistent read before it is told: that a key is gone, that a service is empty or strongly shrunken.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::rc::Rc;
//! use resolver_sync::consul::{ConsulConfig, ConsulKv};
//! use resolver_sync::kv::Target;
//! use resolver_sync::subscribe::{KeyEvent, Keys};
//!
//! let kv = ConsulKv::new(ConsulConfig::new("main", "127.0.0.1:8500"))?;
//! let keys = Keys::new(Rc::new(kv), Target::Key("config/max_position".into()));
//! keys.for_each(|event| {
//!     if let KeyEvent::Put(entry) = event {
//!         println!("{} = {:?}", entry.key, entry.value);
//!     }
//! })
//! .await;
//! # Ok(())
//! # }
//! ```

mod keys;
mod services;

pub use keys::{KeyEvent, Keys};
pub use services::{ServiceEvent, ServiceSets};
