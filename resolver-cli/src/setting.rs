//! `resolver setting [NAME]`: typed configuration values, as readers of the segment see them.

use clap::Args;
use resolver_core::{Bytes, Kind, Reader, ResolveError, Standing, Value};
use serde::Serialize;

use crate::reading::Reading;
use crate::{Failure, SegmentArgs, output};

#[derive(Args)]
pub(crate) struct SettingArgs {
    /// The setting's name; left out: all of them.
    name: Option<String>,
    #[command(flatten)]
    segment: SegmentArgs,
    /// Print JSON: one object, or an array of all.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    setting: String,
    #[serde(rename = "type")]
    kind: String,
    /// `null` where there is none. Bytes are text, escaped where they are none.
    value: serde_json::Value,
    state: &'static str,
    /// Why it is not FRESH; `none` where it is.
    reason: &'static str,
    source: String,
}

pub(crate) fn run(args: &SettingArgs) -> Result<(), Failure> {
    let mut reading = Reading::open(&args.segment)?;
    reading.wait_for_beat();
    let reader = reading.reader();
    let live = reading.is_live();
    let Some(name) = &args.name else {
        let mut kinds = Vec::new();
        reader.for_each_setting(|name, kind| {
            kinds.push((name.to_owned(), kind));
            true
        });
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let all: Vec<Shown> = kinds.into_iter().map(|(name, kind)| show(&reader, name, kind, live)).collect();
        if args.json {
            return output::line(serde_json::to_string(&all).unwrap_or_default());
        }
        return all.iter().try_for_each(|shown| output::line(shown.line()));
    };
    let Ok(kind) = reader.kind(name) else {
        let why =
            format_args!("no setting {:?} in {}", output::printable(name), args.segment.segment.display());
        return Err(output::fail(Failure::UnknownService, why));
    };
    let shown = show(&reader, name.clone(), kind, live);
    match args.json {
        true => output::line(serde_json::to_string(&shown).unwrap_or_default())?,
        false => output::line(shown.line())?,
    }
    if shown.value.is_null() { Err(Failure::NoEndpoint) } else { Ok(()) }
}

fn show(reader: &Reader<'_>, name: String, kind: Kind, live: bool) -> Shown {
    let read = match kind {
        Kind::I64 => read::<i64>(reader, &name, |value| value.into()),
        Kind::F64 => read::<f64>(reader, &name, |value| value.into()),
        Kind::Bool => read::<bool>(reader, &name, |value| value.into()),
        Kind::Bytes => read::<Bytes>(reader, &name, |value| match std::str::from_utf8(value.as_slice()) {
            Ok(text) => text.into(),
            Err(_) => value.as_slice().escape_ascii().to_string().into(),
        }),
    };
    let (value, state, reason, source) = match read {
        Ok((value, Standing { state, reason, source })) => {
            let status = reader.source(source);
            let source = status.map_or(String::new(), |status| status.name(&mut [0; 24]).to_owned());
            match live {
                true => (value, state.name(), reason.name(), source),
                false => (value, "STALE", "silent", source),
            }
        }
        Err(ResolveError::Never) => (serde_json::Value::Null, "NEVER", "none", String::new()),
        Err(_) => (serde_json::Value::Null, "EMPTY", "none", String::new()),
    };
    Shown { setting: name, kind: kind.to_string(), value, state, reason, source }
}

fn read<T: Value>(
    reader: &Reader<'_>,
    name: &str,
    shown: impl Fn(T) -> serde_json::Value,
) -> Result<(serde_json::Value, Standing), ResolveError> {
    let setting = reader.setting::<T>(name).map_err(|_| ResolveError::Gone)?;
    reader.get_with_standing(setting).map(|(value, standing)| (shown(value), standing))
}

impl Shown {
    fn line(&self) -> String {
        let why = if self.reason == "none" { String::new() } else { format!(" ({})", self.reason) };
        let Shown { setting, kind, value, state, source, .. } = self;
        output::printable(&format!("{setting}  {state}{why}  {kind}  {value}  from {source}"))
    }
}
