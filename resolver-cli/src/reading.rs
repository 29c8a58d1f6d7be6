//! What the tools read from a segment, in the words that they print.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use resolver_core::shm::Owner;
use resolver_core::{Endpoint, Handle, Liveness, Reader, Reason, ResolveError, Segment, SegmentError, State};
use resolver_sync::view::Label;
use serde::Serialize;

use crate::{Failure, SegmentArgs, output};

/// How long to wait for a sign of life: ten beats of the publisher, as a busy host may delay a few.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a set that changes under the reader is begun again.
const ATTEMPTS: usize = 64;
/// The first buffer for a set's text; it grows to what the set says.
const TEXT: usize = 4096;
/// The largest text that is believed: 65535 endpoints with ids of 255 bytes and some tags.
const MAX_TEXT: usize = 64 << 20;

/// A service as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Service {
    pub(crate) service: String,
    pub(crate) state: &'static str,
    /// Why it is not FRESH; `none` where it is.
    pub(crate) reason: &'static str,
    pub(crate) generation: u64,
    /// The primary.
    pub(crate) endpoint: Option<Entry>,
    pub(crate) endpoints: Vec<Entry>,
    pub(crate) source: String,
    /// How old the source's word is, at most; `null` while the publisher gives no sign of life.
    pub(crate) age_ms: Option<u64>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) id: String,
    pub(crate) weight: u32,
    pub(crate) tier: u8,
    /// Whether it is a reserve, which only the next candidate after a failure comes to; left out where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reserve: bool,
    pub(crate) tags: Vec<String>,
    /// Who said so, where several sources are laid over each other; left out where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
}

/// A service's handle, its standing, and whether the publisher beats.
pub(crate) type Glance = (Option<Handle>, Option<(State, Reason, u8, u64)>, bool);

/// A segment with an ear for its publisher.
pub(crate) struct Reading {
    segment: Segment,
    liveness: Liveness,
    began: Instant,
}

impl Reading {
    pub(crate) fn open(args: &SegmentArgs) -> Result<Self, Failure> {
        Self::try_open(args).map_err(|error| {
            let hint = match &error {
                SegmentError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
                    "; is an agent running? (resolver agent --config FILE)"
                }
                _ => "",
            };
            output::fail(Failure::NoSegment, format_args!("{error}{hint}"))
        })
    }

    pub(crate) fn try_open(args: &SegmentArgs) -> Result<Self, SegmentError> {
        let owner = args.owner.map_or(Owner::SelfOrRoot, Owner::Uid);
        let segment = Segment::open_from(&args.segment, owner)?;
        Ok(Reading { segment, liveness: Liveness::new(), began: Instant::now() })
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        self.segment.reader()
    }

    /// Looks at the publisher's pulse.
    pub(crate) fn poll(&mut self) {
        let reader = self.segment.reader();
        self.liveness.poll(&reader, self.began.elapsed());
    }

    /// Waits for one beat, as without it nobody can say FRESH. Gives up after two seconds.
    pub(crate) fn wait_for_beat(&mut self) {
        self.poll();
        while self.liveness.silence().is_none() && self.began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
            self.poll();
        }
    }

    /// Whether the publisher beats.
    pub(crate) fn is_live(&self) -> bool {
        self.liveness.silence().is_some_and(|silence| silence < PATIENCE)
    }

    /// How old a source's word is, at most.
    pub(crate) fn age_ms(&self, source: u8) -> Option<u64> {
        self.liveness.age(source).and_then(|age| u64::try_from(age.as_millis()).ok())
    }

    /// What changes whenever [`Reading::service`] does, for the price of one line.
    pub(crate) fn glance(&self, name: &str) -> Glance {
        let reader = self.reader();
        let handle = reader.service(name);
        (handle, handle.and_then(|handle| reader.standing(handle).ok()), self.is_live())
    }

    /// A service by name; `None` where the segment does not know it.
    pub(crate) fn service(&self, name: &str) -> Result<Option<Service>, ResolveError> {
        for _ in 0..ATTEMPTS {
            let reader = self.reader();
            let Some(handle) = reader.service(name) else { return Ok(None) };
            match self.read(&reader, name, handle) {
                Ok(Some(service)) => return Ok(Some(service)),
                // Changed meanwhile, or removed: look again.
                Ok(None) | Err(ResolveError::Gone | ResolveError::Busy) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ResolveError::Busy)
    }

    /// One attempt; `None` where another set was published meanwhile.
    fn read(&self, reader: &Reader<'_>, name: &str, handle: Handle) -> Result<Option<Service>, ResolveError> {
        let (state, reason, source, generation) = reader.standing(handle)?;
        let mut endpoints = Vec::new();
        if matches!(state, State::Fresh | State::Stale) {
            match reader.set(handle) {
                Ok(set) => {
                    let reserves = (0..).map_while(|place| set.reserve(place));
                    let Ok(records) = set.into_iter().chain(reserves).collect::<Result<Vec<_>, _>>() else {
                        return Ok(None);
                    };
                    let labels = labels(reader, handle)?;
                    endpoints = entries(&records, set.len(), labels);
                }
                Err(ResolveError::Empty | ResolveError::Never) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        if reader.standing(handle)? != (state, reason, source, generation) {
            return Ok(None);
        }
        let live = self.is_live();
        // An empty service stays empty when its publisher falls silent: that nobody confirms it any more, the age says.
        let (state, reason) = match state {
            State::Fresh if !live => (State::Stale.name(), "silent"),
            state if !live => (state.name(), "silent"),
            state => (state.name(), reason.name()),
        };
        // What was never published is from no source yet.
        let published = state != State::Never.name();
        let status = reader.source(source).filter(|_| published);
        Ok(Some(Service {
            service: name.to_owned(),
            state,
            reason,
            generation,
            endpoint: endpoints.first().cloned(),
            endpoints,
            source: status.map_or(String::new(), |status| status.name(&mut [0; 24]).to_owned()),
            age_ms: published.then(|| self.age_ms(source)).flatten(),
        }))
    }
}

/// Ids and tags of a set; empty where the publisher gave none.
fn labels(reader: &Reader<'_>, handle: Handle) -> Result<Vec<Label>, ResolveError> {
    let mut text = vec![0; TEXT];
    let mut length = reader.text(handle, &mut text)?;
    if length > text.len() && length <= MAX_TEXT {
        text.resize(length, 0);
        length = reader.text(handle, &mut text)?;
    }
    Ok(text.get(..length).and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default())
}

fn entries(records: &[Endpoint], active: usize, labels: Vec<Label>) -> Vec<Entry> {
    let mut labels = labels.into_iter();
    let entry = |(place, record): (usize, &Endpoint)| {
        let label = labels.next();
        Entry {
            address: record.address().ip().to_string(),
            port: record.address().port(),
            id: label.as_ref().map_or_else(|| format!("{:016x}", record.id()), |label| label.id.clone()),
            weight: record.weight(),
            tier: record.tier(),
            reserve: place >= active,
            source: label.as_ref().and_then(|label| label.source.clone()),
            tags: label.map(|label| label.tags).unwrap_or_default(),
        }
    };
    records.iter().enumerate().map(entry).collect()
}

impl Service {
    /// The source, with those that its endpoints are from where it lays several over each other.
    fn sources(&self) -> String {
        let said: BTreeSet<&str> =
            self.endpoints.iter().filter_map(|entry| entry.source.as_deref()).collect();
        match said.is_empty() {
            true => self.source.clone(),
            false => format!("{} ({})", self.source, said.into_iter().collect::<Vec<_>>().join(", ")),
        }
    }

    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        let endpoint = self.endpoint.as_ref().map_or("-".into(), Entry::place);
        let age = self.age_ms.map_or("age unknown".into(), |age| format!("age {age} ms"));
        let why = if self.reason == "none" { String::new() } else { format!(" ({})", self.reason) };
        let reserves = match self.endpoints.iter().filter(|endpoint| endpoint.reserve).count() {
            0 => String::new(),
            reserves => format!(" and {reserves} in reserve"),
        };
        output::printable(&format!(
            "{}  {}{why}  {endpoint}  {} endpoints{reserves}  from {}  generation {}  {age}",
            self.service,
            self.state,
            self.endpoints.iter().filter(|endpoint| !endpoint.reserve).count(),
            self.sources(),
            self.generation
        ))
    }
}

impl Entry {
    fn place(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }

    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        let reserve = if self.reserve { "  reserve" } else { "" };
        let source = self.source.as_ref().map_or(String::new(), |source| format!("  from {source}"));
        let tags = if self.tags.is_empty() { String::new() } else { format!("  [{}]", self.tags.join(", ")) };
        output::printable(&format!(
            "  {}  {}  weight {}  tier {}{reserve}{tags}{source}",
            self.place(),
            self.id,
            self.weight,
            self.tier
        ))
    }
}
