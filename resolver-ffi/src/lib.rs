//! The C ABI of resolver's readers. C programs include `include/resolver.h`, C++17 programs `include/resolver.hpp`;
//! `docs/c-abi.md` says how to build and link.
//!
//! # What is promised
//!
//! - **Versions.** [`resolver_abi_version`] is 1. Numbers of codes, sizes and offsets of structs, and what a function does
//!   with them, never change within one version; functions and codes may be added. It is independent of the layout of
//!   segments, which [`resolver_open`] checks.
//! - **Arguments.** Every pointer is compared with null, every length with its bounds, every name is checked to be UTF-8. A
//!   pointer that is not null must be what its function asks for; nothing can check that.
//! - **Outputs** are written on success alone, unless a function says otherwise: on an error the last answer is still there.
//! - **No unwinding.** Every function is `extern "C"`, out of which Rust lets no panic: it would end the process. The cold
//!   functions catch it before and give [`Code::Internal`]. The hot ones ([`resolver_resolve`], [`resolver_resolve_address`],
//!   [`resolver_resolve_fresh`], [`resolver_cached_resolve`], [`resolver_pick`], [`resolver_pick_where`],
//!   [`resolver_pick_less_loaded`], the getters of settings and [`resolver_epoch`]) do not pay for that: their
//!   release code leads to no panic, which `cargo xtask test c-abi` looks for in the library itself.
//! - **Threads.** A segment may be used by any number of threads at once, and is unmapped when its last reference is released. A
//!   picker and a liveness belong to one thread at a time.

mod argument;
mod cached;
mod choice;
mod code;
mod ejections;
mod liveness;
mod log;
mod picker;
mod record;
mod resolve;
mod segment;
mod setting;
mod standing;

pub use cached::{Cached, resolver_cached_free, resolver_cached_new, resolver_cached_resolve};
pub use choice::{Conditions, resolver_pick_less_loaded, resolver_pick_where};
pub use code::{Code, resolver_error_text};
pub use ejections::{
    Ejections, resolver_eject, resolver_ejections_clear, resolver_ejections_free, resolver_ejections_new,
    resolver_is_ejected,
};
pub use liveness::{
    Liveness, RESOLVER_UNKNOWN_AGE, resolver_liveness_age, resolver_liveness_free, resolver_liveness_new,
    resolver_liveness_poll, resolver_liveness_silence, resolver_resolve_fresh,
};
pub use log::{
    Incident, resolver_counter, resolver_counter_name, resolver_incident_kind, resolver_incidents,
    resolver_source_name, resolver_text,
};
pub use picker::{
    Picker, PickerKind, resolver_pick, resolver_picker_failed, resolver_picker_free, resolver_picker_new,
    resolver_picker_reset,
};
pub use record::{Address, Endpoint, Record};
pub use resolve::{
    resolver_endpoints, resolver_generation, resolver_is_current, resolver_resolve, resolver_resolve_address,
    resolver_standing_of,
};
pub use segment::{
    Segment, resolver_epoch, resolver_open, resolver_open_or_wait, resolver_open_with_message, resolver_poll,
    resolver_release, resolver_retain, resolver_service,
};
pub use setting::{
    Bytes, SettingBool, SettingBytes, SettingF64, SettingI64, resolver_get_bool, resolver_get_bytes,
    resolver_get_f64, resolver_get_i64, resolver_setting_bool, resolver_setting_bytes, resolver_setting_f64,
    resolver_setting_i64,
};
pub use standing::{Reason, Standing, State};

/// Version of this ABI. A program compares it with what the function of the same name gives.
pub const RESOLVER_ABI_VERSION: u32 = 1;

/// The ABI version of the library that is linked. Where it is not `RESOLVER_ABI_VERSION`, the program was compiled against
/// another one: refuse to start.
#[unsafe(no_mangle)]
pub extern "C" fn resolver_abi_version() -> u32 {
    RESOLVER_ABI_VERSION
}

// A record has the table's words in the form of this layout. With another one, look whether they still mean the same: else
// convert them in `record.rs`, or raise the version above.
const _: () = assert!(resolver_core::LAYOUT_VERSION == 3);
