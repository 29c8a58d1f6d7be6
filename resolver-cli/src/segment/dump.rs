//! `resolver segment dump`.

use resolver_core::{Bytes, Kind, Reader};
use serde::Serialize;
use serde_json::Value;

use super::errors::{self, Error};
use super::{PlaceArgs, is_held};
use crate::reading::{Entry, Reading, Service};
use crate::{Failure, output};

#[derive(Serialize)]
struct Dump {
    services: Vec<Service>,
    settings: Vec<Setting>,
    errors: Vec<Error>,
}

#[derive(Serialize)]
struct Setting {
    setting: String,
    kind: String,
    /// `null` where there is none.
    value: Value,
}

pub(super) fn run(args: &PlaceArgs) -> Result<(), Failure> {
    let mut reading = args.open()?;
    if is_held(reading.segment()) {
        reading.wait_for_beat();
    }
    let dump = Dump {
        services: services(&reading)?,
        settings: settings(&reading.reader()),
        errors: errors::errors(&reading.reader()),
    };
    if args.json {
        return output::line(serde_json::to_string(&dump).unwrap_or_default());
    }
    for service in &dump.services {
        output::line(service.line())?;
        for endpoint in service.endpoints.iter().map(Entry::line) {
            output::line(endpoint)?;
        }
    }
    for setting in &dump.settings {
        let line = format!("{}  {}  {}", setting.setting, setting.kind, setting.value);
        output::line(output::printable(&line))?;
    }
    for error in &dump.errors {
        output::line(error.line())?;
    }
    Ok(())
}

fn services(reading: &Reading) -> Result<Vec<Service>, Failure> {
    let mut names = Vec::new();
    reading.reader().for_each(|name, _| {
        names.push(name.to_owned());
        true
    });
    names.sort();
    let mut services = Vec::new();
    for name in names {
        match reading.service(&name) {
            Ok(Some(service)) => services.push(service),
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => {
                let name = output::printable(&name);
                return Err(output::fail(
                    Failure::Failed,
                    format_args!("{name}: {error}; see `resolver segment verify`"),
                ));
            }
        }
    }
    Ok(services)
}

fn settings(reader: &Reader<'_>) -> Vec<Setting> {
    let mut kinds = Vec::new();
    reader.for_each_setting(|name, kind| {
        kinds.push((name.to_owned(), kind));
        true
    });
    kinds.sort_by(|a, b| a.0.cmp(&b.0));
    let value = |name: &str, kind: Kind| match kind {
        Kind::I64 => {
            reader.setting::<i64>(name).ok().and_then(|setting| reader.get(setting).ok()).map(Value::from)
        }
        Kind::F64 => {
            reader.setting::<f64>(name).ok().and_then(|setting| reader.get(setting).ok()).map(Value::from)
        }
        Kind::Bool => {
            reader.setting::<bool>(name).ok().and_then(|setting| reader.get(setting).ok()).map(Value::from)
        }
        Kind::Bytes => {
            let bytes = reader.setting::<Bytes>(name).ok().and_then(|setting| reader.get(setting).ok());
            bytes.map(|bytes| Value::from(bytes.as_slice().escape_ascii().to_string()))
        }
    };
    let setting = |(setting, kind): (String, Kind)| {
        let value = value(&setting, kind).unwrap_or(Value::Null);
        Setting { value, setting, kind: kind.to_string() }
    };
    kinds.into_iter().map(setting).collect()
}
