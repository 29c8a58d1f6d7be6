//! The slow oracle: plain maps, and what they say of a table after each step.

use std::collections::BTreeMap;

use resolver_core::{
    AddError, CachedHandle, Handle, Name, PublishError, Reader, Reason, ResolveError, Resolved, Setting,
    SettingError, Standing, State, Writer,
};

use crate::service::Service;
use crate::steps::{CAPACITY, Change, KEYS, NAMES, Step};

/// What was said of each handle by the last look.
#[derive(Default)]
pub struct Seen {
    pub resolved: BTreeMap<u64, Result<Resolved, ResolveError>>,
    pub epoch: u64,
}

#[derive(Clone, Default)]
pub struct Oracle {
    pub services: BTreeMap<&'static str, Service>,
    pub settings: BTreeMap<&'static str, (Setting<i64>, Option<Option<i64>>)>,
    pub dead: Vec<Handle>,
    pub last_generation: u64,
}

impl Oracle {
    pub fn add(&mut self, writer: &mut Writer<'_>, name: &'static str) {
        match writer.add(name) {
            Ok(handle) => {
                let new = Service {
                    handle,
                    state: State::Never,
                    reason: Reason::None,
                    ports: Vec::new(),
                    active: 0,
                    smooth: false,
                    maglev: false,
                    text: Vec::new(),
                    generation: 0,
                };
                assert_eq!(self.services.entry(name).or_insert(new).handle, handle);
            }
            Err(error) => {
                assert_eq!(error, AddError::Services);
                assert_eq!(self.services.len(), CAPACITY.services as usize);
            }
        }
    }

    pub fn remove(&mut self, writer: &mut Writer<'_>, name: &'static str) {
        let old = self.services.remove(name);
        assert_eq!(writer.remove(name), old.is_some());
        self.dead.extend(old.map(|service| service.handle));
    }

    /// Notes a change and what the table said to it.
    pub fn change(&mut self, change: &Change, result: Result<u64, PublishError>) {
        let Some(service) = self.services.get_mut(NAMES[change.name]) else {
            assert_eq!(result, Err(PublishError::Gone));
            return;
        };
        match result {
            Ok(_) if change.mark => {
                service.reason = Reason::Acl;
                if !service.ports.is_empty() {
                    service.state = State::Stale;
                }
            }
            Ok(generation) => {
                assert!(generation > self.last_generation, "a generation came back");
                self.last_generation = generation;
                service.state = if change.ports.is_empty() { State::Empty } else { State::Fresh };
                service.reason = Reason::None;
                service.ports.clone_from(&change.ports);
                service.active = change.active();
                (service.smooth, service.maglev) = (change.smooth, change.maglev);
                service.text.clone_from(&change.text);
                service.generation = generation;
            }
            Err(PublishError::Text) => assert!(change.ports.is_empty() && !change.text.is_empty()),
            Err(error) => assert!(matches!(error, PublishError::Full { .. }), "{error:?}"),
        }
    }

    pub fn setting(&mut self, writer: &mut Writer<'_>, step: &Step) {
        match step {
            Step::AddSetting(key) => match writer.add_setting::<i64>(KEYS[*key]) {
                Ok(setting) => {
                    assert_eq!(self.settings.entry(KEYS[*key]).or_insert((setting, None)).0, setting);
                }
                Err(error) => {
                    assert_eq!(error, AddError::Settings);
                    assert_eq!(self.settings.len(), CAPACITY.configs as usize);
                }
            },
            Step::Set { key, value } => {
                let Some((setting, held)) = self.settings.get_mut(KEYS[*key]) else { return };
                let done = match value {
                    Some(value) => writer.set(*setting, *value, Standing::FRESH),
                    None => writer.unset(*setting, Reason::None),
                };
                done.expect("it is there");
                *held = Some(*value);
            }
            Step::RemoveSetting(key) => {
                let old = self.settings.remove(KEYS[*key]);
                assert_eq!(writer.remove_setting(KEYS[*key]), old.is_some());
                if let Some((setting, _)) = old {
                    assert_eq!(writer.set(setting, 1, Standing::FRESH), Err(PublishError::Gone));
                    assert_eq!(writer.reader().get(setting), Err(ResolveError::Gone));
                }
            }
            _ => unreachable!("a step of services"),
        }
    }

    pub fn compare_settings(&self, reader: &Reader<'_>) {
        let mut listed = Vec::new();
        reader.for_each_setting(|name, kind| {
            assert_eq!(kind, resolver_core::Kind::I64);
            listed.push(name.to_string());
            true
        });
        listed.sort();
        assert_eq!(listed, self.settings.keys().map(ToString::to_string).collect::<Vec<_>>());
        for key in KEYS {
            let Some((setting, held)) = self.settings.get(key) else {
                assert_eq!(reader.setting::<i64>(key), Err(SettingError::Unknown));
                continue;
            };
            assert_eq!(reader.setting::<i64>(key), Ok(*setting));
            assert!(matches!(reader.setting::<bool>(key), Err(SettingError::Kind { .. })));
            let wanted = match held {
                None => Err(ResolveError::Never),
                Some(None) => Err(ResolveError::Empty),
                Some(Some(value)) => Ok(*value),
            };
            assert_eq!(reader.get(*setting), wanted);
            assert_eq!(reader.get_with_standing(*setting).map(|(value, _)| value), wanted);
        }
    }

    /// What changed was told, and what is held as current is.
    pub fn compare_changes(&self, reader: &Reader<'_>, seen: &mut Seen) {
        let mut told = Vec::new();
        seen.epoch = reader.changes_since(seen.epoch, |handle| told.push(handle.to_bits()));
        assert_eq!(seen.epoch, reader.epoch());
        for service in self.services.values() {
            let (bits, now) = (service.handle.to_bits(), reader.resolve(service.handle));
            let before = seen.resolved.insert(bits, now);
            if before != Some(now) {
                assert!(told.contains(&bits), "{before:?} became {now:?} and was not told");
            }
            if let Some(Ok(before)) = before {
                let is_current = reader.is_current(service.handle, &before);
                assert!(!is_current || now == Ok(before), "{before:?} is not current");
                assert!(is_current || told.contains(&bits), "nobody touched {before:?}");
            }
            if let Ok(now) = now {
                assert!(reader.is_current(service.handle, &now));
            }
        }
        for bits in &told {
            let is_service = self.services.values().any(|service| service.handle.to_bits() == *bits);
            let is_setting = self.settings.values().any(|(setting, _)| setting.handle().to_bits() == *bits);
            assert!(is_service || is_setting, "told of what is not there");
        }
    }

    pub fn handle(&self, name: usize) -> Handle {
        self.services.get(NAMES[name]).map_or(Handle::from_bits(u64::MAX), |service| service.handle)
    }

    pub fn compare<'m>(&self, reader: &Reader<'m>, cached: &mut BTreeMap<u64, CachedHandle<'m>>) {
        let mut listed = Vec::new();
        reader.for_each(|name, handle| {
            listed.push((name.to_string(), handle));
            true
        });
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        let all: Vec<_> =
            self.services.iter().map(|(name, service)| (name.to_string(), service.handle)).collect();
        assert_eq!(listed, all);
        for name in NAMES {
            let service = self.services.get(name);
            assert_eq!(reader.service(name), service.map(|service| service.handle), "{name}");
            let by_name = reader.resolve_name(&Name::new(name));
            assert_eq!(
                by_name,
                service.map_or(Err(ResolveError::Gone), |service| reader.resolve(service.handle))
            );
        }
        let handles: Vec<Handle> =
            all.iter().map(|(_, handle)| *handle).chain(self.dead.iter().copied()).collect();
        let mut together = vec![Err(ResolveError::Busy); handles.len()];
        assert_eq!(reader.together(&handles, &mut together), Ok(reader.epoch()));
        for (handle, together) in handles.iter().zip(together) {
            let resolved = reader.resolve(*handle);
            assert_eq!(resolved, together);
            let cached = cached.entry(handle.to_bits()).or_insert_with(|| reader.cached(*handle));
            assert_eq!(cached.resolve(reader), resolved);
            assert_eq!(cached.resolve(reader), resolved);
            assert_eq!(reader.resolve_address(*handle), resolved.map(|resolved| resolved.address()));
            assert_eq!(reader.generation(*handle), resolved.map(|resolved| resolved.generation()));
        }
        for dead in &self.dead {
            assert_eq!(reader.resolve(*dead), Err(ResolveError::Gone));
            assert_eq!(reader.standing(*dead), Err(ResolveError::Gone));
        }
        for service in self.services.values() {
            service.compare(reader);
        }
    }
}
