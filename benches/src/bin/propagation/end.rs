//! One direction: a segment that one process publishes numbers to, and the other one reads.

use std::fmt::Display;
use std::path::Path;

use resolver_core::{Capacity, Endpoint, Handle, OwnedSegment, Reader, Segment, Setting, Standing, Writer};

/// The segment of the process that measures, and that of the one which answers.
pub const THERE: &str = "there.seg";
pub const BACK: &str = "back.seg";

const CAPACITY: Capacity = Capacity { services: 16, endpoints: 128, configs: 4, text_bytes: 0 };
const ONE: &str = "one";
const EIGHT: &str = "eight";
const NUMBER: &str = "number";
const COMMAND: &str = "command";

/// By what a number goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A word of the mapping: one store; one load.
    Word,
    /// A setting of a number.
    Setting,
    /// A service of one endpoint, by its handle.
    One,
    /// A service of eight endpoints, by its handle.
    Eight,
}

/// The first is what the others are compared with.
pub const FORMS: [Form; 4] = [Form::Word, Form::Setting, Form::One, Form::Eight];

impl Form {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Word => "a bare atomic word",
            Form::Setting => "set and get of a setting",
            Form::One => "publish and resolve, 1 endpoint",
            Form::Eight => "publish and resolve, 8 endpoints",
        }
    }
}

/// A segment, of its writer or of its reader.
pub enum End {
    Own(OwnedSegment),
    Other(Segment),
}

fn said(error: impl Display) -> String {
    error.to_string()
}

impl End {
    pub fn create(path: &Path) -> Result<Self, String> {
        let mut owned = OwnedSegment::acquire(path, &CAPACITY).map_err(said)?;
        let mut writer = owned.writer().map_err(said)?;
        for name in [ONE, EIGHT] {
            writer.add(name).map_err(|error| error.to_string())?;
        }
        for name in [NUMBER, COMMAND] {
            let setting = writer.add_setting::<i64>(name).map_err(said)?;
            writer.set(setting, 0, Standing::FRESH).map_err(said)?;
        }
        Ok(End::Own(owned))
    }

    pub fn open(path: &Path) -> Result<Self, String> {
        Segment::open(path).map(End::Other).map_err(said)
    }

    pub fn sender(&mut self) -> Result<Sender<'_>, String> {
        let End::Own(owned) = self else { return Err("not the writer's end".into()) };
        let writer = owned.writer().map_err(said)?;
        let reader = writer.reader();
        let handles = [ONE, EIGHT].map(|name| reader.service(name));
        let [Some(one), Some(eight)] = handles else { return Err("its services are gone".into()) };
        let number = reader.setting(NUMBER).map_err(|_| "its setting is gone")?;
        let command = reader.setting(COMMAND).map_err(|_| "its setting is gone")?;
        Ok(Sender { writer, one, eight, number, command, sent: 0 })
    }

    pub fn looker(&self) -> Result<Looker<'_>, String> {
        let End::Other(segment) = self else { return Err("not the reader's end".into()) };
        let reader = segment.reader();
        let handles = [ONE, EIGHT].map(|name| reader.service(name));
        let [Some(one), Some(eight)] = handles else { return Err("its services are gone".into()) };
        let number = reader.setting(NUMBER).map_err(|_| "its setting is gone")?;
        let command = reader.setting(COMMAND).map_err(|_| "its setting is gone")?;
        Ok(Looker { reader, one, eight, number, command })
    }
}

/// Publishes numbers, each greater than the last.
pub struct Sender<'m> {
    writer: Writer<'m>,
    one: Handle,
    eight: Handle,
    number: Setting<i64>,
    command: Setting<i64>,
    sent: u64,
}

impl Sender<'_> {
    /// Publishes the next number.
    #[inline(always)]
    pub fn send(&mut self, form: Form) {
        self.sent += 1;
        let n = self.sent;
        let endpoint = Endpoint::new(([10, 0, 0, 1], 9000).into()).with_id(n);
        // A refusal would leave the other side waiting, and be told there.
        let _ = match form {
            Form::Word => {
                self.writer.beat(&[]);
                Ok(0)
            }
            Form::Setting => self.writer.set(self.number, n as i64, Standing::FRESH).map(|_| 0),
            Form::One => self.writer.publish(self.one, &[endpoint], Standing::FRESH, b""),
            Form::Eight => self.writer.publish(self.eight, &[endpoint; 8], Standing::FRESH, b""),
        };
    }

    /// Says what is to be answered, and how often; or, by the other side, that this was understood.
    pub fn command(&mut self, command: Command) {
        let word = command.number << 32 | (command.trips as i64) << 8 | command.form as i64;
        let _ = self.writer.set(self.command, word, Standing::FRESH);
    }
}

/// What the process that measures asks of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Counts the commands.
    pub number: i64,
    pub form: Form,
    /// So many numbers come, one after the answer to the other.
    pub trips: usize,
}

/// Looks for numbers.
pub struct Looker<'m> {
    reader: Reader<'m>,
    one: Handle,
    eight: Handle,
    number: Setting<i64>,
    command: Setting<i64>,
}

impl Looker<'_> {
    /// The number that stands now.
    #[inline(always)]
    pub fn number(&self, form: Form) -> u64 {
        let id = |handle| self.reader.resolve(handle).map_or(0, |resolved| resolved.id());
        match form {
            Form::Word => self.reader.pulse(),
            Form::Setting => self.reader.get(self.number).map_or(0, |n| n as u64),
            Form::One => id(self.one),
            Form::Eight => id(self.eight),
        }
    }

    /// The last command.
    pub fn command(&self) -> Command {
        let word = self.reader.get(self.command).unwrap_or(0);
        let form = FORMS[(word & 0xff) as usize % FORMS.len()];
        Command { number: word >> 32, form, trips: (word >> 8 & 0xff_ffff) as usize }
    }
}
