//! The reader: every form of asking, every answer checked.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use resolver_core::pick::{Maglev, PickError, PowerOfTwo, Random, Rendezvous, RoundRobin, Smooth, Weighted};
use resolver_core::{
    Bytes, CachedHandle, Endpoint, FreshError, Handle, Liveness, Name, Reader, ResolveError, Resolved,
    Setting, WalkError,
};

use crate::record::{self, SERVICES};

/// The forms, in the order in which they are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Resolve,
    Narrow,
    Cached,
    ByName,
    Fresh,
    Together,
    Walk,
    Text,
    Source,
    RoundRobin,
    Random,
    Weighted,
    PowerOfTwo,
    Rendezvous,
    Smooth,
    Maglev,
    /// A number and 48 bytes, of one batch with the group.
    Number,
    Value,
    /// A name that comes and goes, and a handle that was taken of it.
    Passing,
}

const FORMS: usize = Form::Passing as usize + 1;

/// What one form came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Count {
    /// Asked.
    pub reads: u64,
    /// Answered with an error that may be: empty, gone, changed.
    pub without: u64,
    /// Gave up after 16 rounds.
    pub busy: u64,
    /// Parts of two publications.
    pub torn: u64,
    /// Older than an answer before it.
    pub back: u64,
}

/// What all of them came to.
#[derive(Default, Debug)]
pub struct Seen {
    counts: [Count; FORMS],
    /// Newest number of each service, in all forms but `together`; that number's generation.
    last: [(u64, u64); SERVICES],
    /// Newest number of each setting: a batch lands cell by cell.
    last_number: u64,
    last_value: u64,
    last_together: u64,
    /// Rounds over all forms that began while a batch was landing.
    pub landing: u64,
    pub rounds: u64,
    /// The first answer that is wrong.
    pub fault: Option<String>,
}

impl Seen {
    /// All counts, by form.
    pub fn counts(&self) -> impl Iterator<Item = (Form, Count)> {
        use Form::*;
        let forms = [
            Resolve, Narrow, Cached, ByName, Fresh, Together, Walk, Text, Source, RoundRobin, Random,
            Weighted, PowerOfTwo, Rendezvous, Smooth, Maglev, Number, Value, Passing,
        ];
        forms.into_iter().zip(self.counts)
    }

    /// An answer that has a number, or is torn. Gives it if it is good.
    pub fn judge(
        &mut self,
        form: Form,
        service: usize,
        n: Option<u64>,
        shown: &dyn std::fmt::Debug,
    ) -> Option<u64> {
        let count = &mut self.counts[form as usize];
        let last = match form {
            Form::Together => &mut self.last_together,
            Form::Number => &mut self.last_number,
            Form::Value => &mut self.last_value,
            _ => &mut self.last[service].0,
        };
        let what = match n {
            None => {
                count.torn += 1;
                "torn"
            }
            Some(n) if n < *last => {
                count.back += 1;
                "back in time"
            }
            Some(n) => {
                *last = n;
                return Some(n);
            }
        };
        let last = *last;
        self.fault.get_or_insert_with(|| {
            format!("{form:?} of {}: {what} after {last}: {shown:?}", record::name(service))
        });
        None
    }

    fn tear(&mut self, form: Form, shown: &dyn std::fmt::Debug) {
        self.counts[form as usize].torn += 1;
        self.fault.get_or_insert_with(|| format!("{form:?}: torn: {shown:?}"));
    }

    fn head(&mut self, form: Form, service: usize, answer: Result<Resolved, ResolveError>) {
        self.counts[form as usize].reads += 1;
        match answer {
            Ok(head) => {
                let before = self.last[service];
                let n = record::of_head(service, &head);
                if let Some(n) = self.judge(form, service, n, &head) {
                    let now = (n, head.generation());
                    if before.0 != 0 && before.1 != 0 && (now.0 == before.0) != (now.1 == before.1) {
                        self.tear(form, &(before, now));
                    }
                    self.last[service] = now;
                }
            }
            Err(error) => self.without(form, service, error),
        }
    }

    /// Only what can be: a service of the group always has a set, one alone may be empty, a passing one anything.
    fn without(&mut self, form: Form, service: usize, error: ResolveError) {
        let count = &mut self.counts[form as usize];
        match (service / 4, error) {
            (_, ResolveError::Busy) => count.busy += 1,
            (1, ResolveError::Empty) | (2, ResolveError::Gone | ResolveError::Never) => count.without += 1,
            _ => self.tear(form, &(record::name(service), error)),
        }
    }

    fn picked(&mut self, form: Form, service: usize, answer: Result<Endpoint, ResolveError>) {
        self.counts[form as usize].reads += 1;
        match answer {
            Ok(endpoint) => {
                let n = record::of_endpoint(service, &endpoint).map(|(n, _)| n);
                if self.judge(form, service, n, &endpoint) != Some(self.last[service].0)
                    || self.last[service].1 > endpoint.generation()
                {
                    self.tear(form, &endpoint);
                }
                self.last[service].1 = endpoint.generation();
            }
            Err(error) => self.without(form, service, error),
        }
    }

    fn setting(&mut self, form: Form, answer: Result<Option<u64>, ResolveError>) {
        self.counts[form as usize].reads += 1;
        match answer {
            Ok(n) => {
                self.judge(form, 0, n, &n);
            }
            Err(ResolveError::Busy) => self.counts[form as usize].busy += 1,
            Err(error) => self.tear(form, &error),
        }
    }

    fn walk(&mut self, reader: &Reader<'_>, service: usize, handle: Handle) {
        self.counts[Form::Walk as usize].reads += 1;
        let set = match reader.set(handle) {
            Ok(set) => set,
            Err(error) => return self.without(Form::Walk, service, error),
        };
        let mut first = None;
        for (place, endpoint) in set.into_iter().enumerate() {
            let endpoint = match endpoint {
                Ok(endpoint) => endpoint,
                Err(WalkError::Changed) => {
                    self.counts[Form::Walk as usize].without += 1;
                    return;
                }
            };
            let of = record::of_endpoint(service, &endpoint);
            let n = self.judge(Form::Walk, service, of.map(|(n, _)| n), &endpoint);
            let whole = n == *first.get_or_insert(n)
                && of.is_some_and(|(n, at)| at == place && record::size(service, n) == set.len())
                && endpoint.generation() == set.generation();
            if !whole {
                self.tear(Form::Walk, &endpoint);
            }
        }
        if first.is_some() {
            self.last[service].1 = set.generation();
        }
    }

    fn text(&mut self, reader: &Reader<'_>, service: usize, handle: Handle) {
        self.counts[Form::Text as usize].reads += 1;
        let mut text = [0; 64];
        match reader.text(handle, &mut text) {
            Ok(length) => {
                let found = &text[..length.min(text.len())];
                let before = self.last[service].0;
                let n = record::of_text(service, found);
                if self.judge(Form::Text, service, n, &found) != Some(before) {
                    // Of a newer set, whose generation it does not say.
                    self.last[service].1 = 0;
                }
            }
            Err(error) => self.without(Form::Text, service, error),
        }
    }

    fn together(&mut self, reader: &Reader<'_>, handles: &[Handle; 4]) {
        self.counts[Form::Together as usize].reads += 1;
        let mut heads = [Err(ResolveError::Busy); 4];
        match reader.together(handles, &mut heads) {
            Ok(_) => {
                let numbers: [Option<u64>; 4] = std::array::from_fn(|service| {
                    heads[service].ok().and_then(|head| record::of_head(service, &head))
                });
                let n = numbers[0].filter(|n| numbers.iter().all(|other| *other == Some(*n)));
                self.judge(Form::Together, 0, n, &heads);
            }
            Err(ResolveError::Busy) => self.counts[Form::Together as usize].busy += 1,
            Err(error) => self.tear(Form::Together, &error),
        }
    }

    fn source(&mut self, reader: &Reader<'_>, number: u8) {
        self.counts[Form::Source as usize].reads += 1;
        let Some(source) = reader.source(number) else {
            self.counts[Form::Source as usize].busy += 1;
            return;
        };
        let beat = source.beat();
        let age = Some(Duration::from_millis(beat % 1000));
        if (source.revision(), source.rejected(), source.age_at_beat()) != (beat * 3, beat as u32, age) {
            self.tear(Form::Source, &source);
        }
    }
}

/// Everything that one thread keeps between two rounds.
struct Pickers {
    round: RoundRobin,
    random: Random,
    weighted: Weighted,
    two: PowerOfTwo,
    smooth: Smooth,
    maglev: Maglev,
}

/// Asks in every form, round after round, until it is told to stop. `rounds` shows how far it is.
pub fn read(reader: Reader<'_>, stop: &AtomicBool, rounds: &AtomicU64) -> Seen {
    let handles: [Handle; 8] =
        std::array::from_fn(|service| reader.service(record::name(service)).expect("it stands"));
    let group = [handles[0], handles[1], handles[2], handles[3]];
    let mut cached: [CachedHandle<'_>; 8] = handles.map(|handle| reader.cached(handle));
    let mut passing: [Option<Handle>; 4] = [None; 4];
    let mut pickers = Pickers {
        round: RoundRobin::new(),
        random: Random::new(1),
        weighted: Weighted::new(2),
        two: PowerOfTwo::new(3),
        smooth: Smooth::new(),
        maglev: Maglev::new(),
    };
    let number: Setting<i64> = reader.setting(record::NUMBER).expect("it stands");
    let value: Setting<Bytes> = reader.setting(record::VALUE).expect("it stands");
    let mut liveness = Liveness::new();
    let mut seen = Seen::default();
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if seen.rounds.is_multiple_of(256) {
            liveness.poll(&reader, start.elapsed());
            rounds.store(seen.rounds, Ordering::Relaxed);
        }
        seen.landing += reader.epoch() & 1;
        for (service, handle) in handles.into_iter().enumerate() {
            ask(&mut seen, &reader, service, handle, &mut cached[service], &liveness);
        }
        let service = seen.rounds as usize % 8;
        pick(&mut seen, &reader, service, handles[service], &mut pickers);
        by_table(&mut seen, &reader, &handles, &mut pickers);
        seen.setting(Form::Number, reader.get(number).map(|n| Some(n.cast_unsigned())));
        seen.setting(Form::Value, reader.get(value).map(|value| record::of_value(&value)));
        seen.walk(&reader, service, handles[service]);
        seen.together(&reader, &group);
        seen.text(&reader, 4 + service % 4, handles[4 + service % 4]);
        if reader.pulse() > 0 {
            seen.source(&reader, service as u8 % 4);
        }
        let known = &mut passing[service % 4];
        pass(&mut seen, &reader, 8 + service % 4, known);
        seen.rounds += 1;
    }
    seen
}

fn ask(
    seen: &mut Seen,
    reader: &Reader<'_>,
    service: usize,
    handle: Handle,
    cached: &mut CachedHandle<'_>,
    liveness: &Liveness,
) {
    seen.head(Form::Resolve, service, reader.resolve(handle));
    seen.head(Form::Cached, service, cached.resolve(reader));
    seen.head(Form::ByName, service, reader.resolve_name(&Name::new(black_box(record::name(service)))));
    let fresh = match reader.resolve_fresh(handle, Duration::MAX, liveness) {
        Err(FreshError::Old { last, .. }) => Ok(last),
        Err(FreshError::Resolve(error)) => Err(error),
        Ok(head) => Ok(head),
    };
    seen.head(Form::Fresh, service, fresh);
    seen.counts[Form::Narrow as usize].reads += 1;
    match reader.resolve_address(handle) {
        Ok(address) => {
            let before = seen.last[service].0;
            let n = record::of_address(service, address.socket_addr());
            if seen.judge(Form::Narrow, service, n, &address) != Some(before) {
                seen.last[service].1 = 0;
            }
        }
        Err(error) => seen.without(Form::Narrow, service, error),
    }
}

fn pick(seen: &mut Seen, reader: &Reader<'_>, service: usize, handle: Handle, pickers: &mut Pickers) {
    seen.picked(Form::RoundRobin, service, pickers.round.pick(reader, handle));
    seen.picked(Form::Random, service, pickers.random.pick(reader, handle));
    seen.picked(Form::Weighted, service, pickers.weighted.pick(reader, handle));
    seen.picked(Form::PowerOfTwo, service, pickers.two.pick(reader, handle, Endpoint::id));
    seen.picked(Form::Rendezvous, service, Rendezvous::pick(reader, handle, seen.rounds));
}

/// Only sets of the first two services have a table, and the second's not always.
fn by_table(seen: &mut Seen, reader: &Reader<'_>, handles: &[Handle], pickers: &mut Pickers) {
    let unless = |error| match error {
        PickError::Resolve(error) => error,
        error => panic!("{error:?}"),
    };
    seen.picked(Form::Smooth, 0, pickers.smooth.pick(reader, handles[0]).map_err(unless));
    match pickers.maglev.pick(reader, handles[1], seen.rounds) {
        Err(PickError::NoTable) => seen.counts[Form::Maglev as usize].without += 1,
        answer => seen.picked(Form::Maglev, 1, answer.map_err(unless)),
    }
}

/// By name it is there or not; by the handle that was taken of it, it is itself or gone. Never another service.
fn pass(seen: &mut Seen, reader: &Reader<'_>, service: usize, known: &mut Option<Handle>) {
    seen.head(Form::Passing, service, reader.resolve_name(&Name::new(record::name(service))));
    if let Some(handle) = *known {
        let answer = reader.resolve(handle);
        seen.head(Form::Passing, service, answer);
        if answer == Err(ResolveError::Gone) {
            *known = None;
        }
    } else {
        *known = reader.service(record::name(service));
    }
}
