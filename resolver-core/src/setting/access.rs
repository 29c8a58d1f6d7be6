//! Settings as readers and the writer reach them.

use super::{Key, Kind, MARK, Setting, SettingError, Value, kind_of, meta, vacant};
use crate::batch::{Batch, check_source};
use crate::cell::{self, Unread};
use crate::error::{AddError, PublishError, ResolveError};
use crate::handle::Handle;
use crate::name::Name;
use crate::reader::Reader;
use crate::record::{Words, head};
use crate::state::{Reason, State};
use crate::writer::{Standing, Writer};

impl Reader<'_> {
    /// The setting of a name, to be taken once and kept. Cold.
    ///
    /// # Errors
    ///
    /// [`SettingError`]: no such name, or a setting of another kind.
    pub fn setting<T: Value>(&self, name: &str) -> Result<Setting<T>, SettingError> {
        let handle = self.setting_handle(name).ok_or(SettingError::Unknown)?;
        let is = self.setting_kind(handle)?;
        if is != T::KIND {
            return Err(SettingError::Kind { is, asked: T::KIND });
        }
        Ok(Setting::new(handle))
    }

    /// What a setting is, for who does not know. Cold.
    ///
    /// # Errors
    ///
    /// [`SettingError::Unknown`] and [`SettingError::Busy`].
    pub fn kind(&self, name: &str) -> Result<Kind, SettingError> {
        self.setting_kind(self.setting_handle(name).ok_or(SettingError::Unknown)?)
    }

    /// A setting's value. The hot path: as [`Reader::resolve_address`] for numbers, as [`Reader::resolve`] for bytes.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]: no value was set yet, it was taken away, or the setting was removed.
    #[inline(always)]
    pub fn get<T: Value>(&self, setting: Setting<T>) -> Result<T, ResolveError> {
        T::read(self, setting.handle)
    }

    /// A setting's value with how it stands and its source's number.
    ///
    /// # Errors
    ///
    /// As [`Reader::get`].
    #[inline]
    pub fn get_with_standing<T: Value>(&self, setting: Setting<T>) -> Result<(T, Standing), ResolveError> {
        let words: Words = self.setting_words(setting.handle)?;
        let (state, reason) = head::standing_of(&words);
        Ok((T::decode(&words), Standing { state, reason, source: (words[2] >> 48) as u8 }))
    }

    /// Calls `each` with the name and kind of every setting, until it gives `false`. Cold; the order means nothing.
    pub fn for_each_setting(&self, mut each: impl FnMut(&str, Kind) -> bool) {
        self.each_name(|text, handle| match (super::name_of(text), self.setting_kind(handle)) {
            (Some(name), Ok(kind)) => each(name, kind),
            _ => true,
        });
    }

    fn setting_handle(&self, name: &str) -> Option<Handle> {
        self.find(&Name::new(Key::new(name).ok()?.text()))
    }

    fn setting_kind(&self, handle: Handle) -> Result<Kind, SettingError> {
        let words: Words = match self.setting_words(handle) {
            Ok(words) => words,
            Err(ResolveError::Busy) => return Err(SettingError::Busy),
            Err(_) => {
                let cell = self.view().cell(handle.slot()).ok_or(SettingError::Unknown)?;
                let Err(Unread::Vacant(words)) = cell::read(cell.0, cell.1) else {
                    return Err(SettingError::Unknown);
                };
                words
            }
        };
        let meant = head::incarnation(&words) == handle.incarnation();
        kind_of(&words).filter(|_| meant).ok_or(SettingError::Unknown)
    }
}

impl Writer<'_> {
    /// The setting of a name; enters it where it is new, without a value.
    ///
    /// # Errors
    ///
    /// [`AddError`] for what cannot be a name, a setting of this name and another kind, and where the table is full.
    pub fn add_setting<T: Value>(&mut self, name: &str) -> Result<Setting<T>, AddError> {
        let key = Key::new(name)?;
        let name = Name::new(key.text());
        if let Some(handle) = self.view.directory.find(&name) {
            let kind = self.known_words(handle).and_then(|words| kind_of(&words));
            return match kind {
                Some(is) if is != T::KIND => Err(AddError::Kind { is, asked: T::KIND }),
                _ => Ok(Setting::new(handle)),
            };
        }
        let slot = self.settings.take(self.links).ok_or(AddError::Settings)?;
        let incarnation = self.next_incarnation();
        let handle = Handle::new(slot as u32, incarnation);
        self.restate(slot, &vacant(T::KIND, State::Never, Reason::None, incarnation));
        if self.view.directory.insert(&name, handle, self.counts()).is_err() {
            self.drop_slot(slot, incarnation);
            return Err(AddError::Names);
        }
        Ok(Setting::new(handle))
    }

    /// Takes a setting out of the table. Whether there was one.
    pub fn remove_setting(&mut self, name: &str) -> bool {
        Key::new(name).is_ok_and(|key| self.remove_entry(&Name::new(key.text())))
    }

    /// Sets a value.
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`] and [`PublishError::Source`].
    pub fn set<T: Value>(
        &mut self,
        setting: Setting<T>,
        value: T,
        standing: Standing,
    ) -> Result<(), PublishError> {
        let mut batch = self.batch();
        batch.set(setting, value, standing)?;
        batch.commit();
        Ok(())
    }

    /// Takes a value away: readers get [`ResolveError::Empty`].
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`].
    pub fn unset<T: Value>(&mut self, setting: Setting<T>, reason: Reason) -> Result<(), PublishError> {
        let mut batch = self.batch();
        batch.unset(setting, reason)?;
        batch.commit();
        Ok(())
    }
}

impl Batch<'_, '_> {
    /// Adds a setting's value; see [`Writer::set`].
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`] and [`PublishError::Source`]; the batch is as it was before the call.
    pub fn set<T: Value>(
        &mut self,
        setting: Setting<T>,
        value: T,
        standing: Standing,
    ) -> Result<(), PublishError> {
        check_source(standing)?;
        self.known_setting(setting.handle)?;
        let ([a, b, c, d, e, f], length) = value.encode();
        let standing = Standing { state: standing.state.of_a_set(), ..standing };
        let meta = meta(T::KIND, length, standing, setting.handle.incarnation());
        self.stage(setting.handle.slot(), &[a, b, meta, c, d, e, f], false);
        Ok(())
    }

    /// Adds that a value is taken away; see [`Writer::unset`].
    ///
    /// # Errors
    ///
    /// [`PublishError::Gone`]; the batch is as it was before the call.
    pub fn unset<T: Value>(&mut self, setting: Setting<T>, reason: Reason) -> Result<(), PublishError> {
        self.known_setting(setting.handle)?;
        let words = vacant(T::KIND, State::Empty, reason, setting.handle.incarnation());
        self.stage(setting.handle.slot(), &words, true);
        Ok(())
    }

    fn known_setting(&self, handle: Handle) -> Result<Words, PublishError> {
        let is_setting = handle.slot() >= self.writer().view.plan.first_setting();
        self.writer().known_words(handle).filter(|_| is_setting).ok_or(PublishError::Gone)
    }
}

const _: () = assert!(MARK < b' ');
