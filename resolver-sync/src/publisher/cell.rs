//! A setting's cell of whatever type.

use resolver_core::{AddError, Batch, Bytes, Kind, Reader, Reason, Setting, Standing, Writer};

use crate::schema::Value;

/// A setting of the table, by its type.
#[derive(Clone, Copy)]
pub(super) enum Cell {
    I64(Setting<i64>),
    F64(Setting<f64>),
    Bool(Setting<bool>),
    Bytes(Setting<Bytes>),
}

impl Cell {
    /// Enters a setting; one of this name and another type makes room for it.
    pub(super) fn add(writer: &mut Writer<'_>, name: &str, kind: Kind) -> Result<Cell, AddError> {
        let entered = Self::enter(writer, name, kind);
        if !matches!(entered, Err(AddError::Kind { .. })) {
            return entered;
        }
        tracing::warn!(setting = name, %kind, "it was of another type before; handles of it are dead");
        writer.remove_setting(name);
        Self::enter(writer, name, kind)
    }

    fn enter(writer: &mut Writer<'_>, name: &str, kind: Kind) -> Result<Cell, AddError> {
        Ok(match kind {
            Kind::I64 => Cell::I64(writer.add_setting(name)?),
            Kind::F64 => Cell::F64(writer.add_setting(name)?),
            Kind::Bool => Cell::Bool(writer.add_setting(name)?),
            Kind::Bytes => Cell::Bytes(writer.add_setting(name)?),
        })
    }

    /// What stands there.
    pub(super) fn get(self, reader: &Reader<'_>) -> Option<Value> {
        match self {
            Cell::I64(setting) => reader.get(setting).ok().map(Value::I64),
            Cell::F64(setting) => reader.get(setting).ok().map(Value::F64),
            Cell::Bool(setting) => reader.get(setting).ok().map(Value::Bool),
            Cell::Bytes(setting) => reader.get(setting).ok().map(Value::Bytes),
        }
    }

    /// Adds a value to a batch. One of another type, which no schema lets through, is left out.
    pub(super) fn set(self, batch: &mut Batch<'_, '_>, value: Value, standing: Standing) {
        let outcome = match (self, value) {
            (Cell::I64(setting), Value::I64(value)) => batch.set(setting, value, standing),
            (Cell::F64(setting), Value::F64(value)) => batch.set(setting, value, standing),
            (Cell::Bool(setting), Value::Bool(value)) => batch.set(setting, value, standing),
            (Cell::Bytes(setting), Value::Bytes(value)) => batch.set(setting, value, standing),
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            tracing::error!("a setting was not published: {error}");
        }
    }

    /// Adds to a batch that there is no value any more.
    pub(super) fn unset(self, batch: &mut Batch<'_, '_>, reason: Reason) {
        let outcome = match self {
            Cell::I64(setting) => batch.unset(setting, reason),
            Cell::F64(setting) => batch.unset(setting, reason),
            Cell::Bool(setting) => batch.unset(setting, reason),
            Cell::Bytes(setting) => batch.unset(setting, reason),
        };
        if let Err(error) = outcome {
            tracing::error!("a setting was not taken away: {error}");
        }
    }
}
