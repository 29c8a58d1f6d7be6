//! The owner's end of a registration.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::backend::{Orders, Presence};
use super::board::{Board, Counts, Status};
use super::error::RegisterError;
use super::instance::{Condition, Registration};
use super::keeper::Keeper;
use super::{Registrar, Registry};

/// How long an owner waits for the last words. What takes longer goes on by itself for a moment.
const FAREWELL: Duration = Duration::from_secs(5);

/// An instance that is registered for as long as this value lives. Dropped, also by a panic that unwinds, it is
/// deregistered: the drop waits for that, usually some milliseconds, at most 5 s where the registry does not answer.
///
/// Everything is done by a thread of its own, which sleeps but for a moment each third of the TTL.
#[derive(Debug)]
#[must_use = "an instance is deregistered when its guard is dropped"]
pub struct Registered {
    name: String,
    id: String,
    board: Arc<Board>,
    orders: watch::Sender<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Registered {
    pub(super) fn start(registrar: Registrar, registration: Registration) -> Result<Self, RegisterError> {
        let board = Arc::new(Board::new());
        let orders = Orders { condition: registration.condition, ..Orders::default() };
        let (orders, receiver) = watch::channel(orders);
        let (name, id) = (registration.name.clone(), registration.instance());
        let thread = std::thread::Builder::new().name("register".into()).spawn({
            let board = Arc::clone(&board);
            move || {
                let end = Ending(&board);
                if let Err(error) = keep(registrar, registration, &board, receiver) {
                    board.set(Status::Failed(error));
                }
                drop(end);
            }
        });
        let thread = thread.map_err(|error| RegisterError::Thread(error.to_string()))?;
        Ok(Registered { name, id, board, orders, thread: Some(thread) })
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The instance's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.board.counts()
    }

    /// Waits until the registry has it, or never will. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Late`] after `within`; the registration goes on trying. Any other one is final.
    pub fn wait_until_registered(&self, within: Duration) -> Result<(), RegisterError> {
        self.board.wait(within)
    }

    /// As [`Registered::wait_until_registered`], in a runtime and without an end.
    ///
    /// # Errors
    ///
    /// Why it never will be.
    pub async fn registered(&self) -> Result<(), RegisterError> {
        self.board.settled().await
    }

    /// Whether it works: [`Registered::set_condition`] to passing or critical.
    pub fn set_healthy(&self, healthy: bool, note: impl Into<String>) {
        self.set_condition(if healthy { Condition::Passing } else { Condition::Critical }, note);
    }

    /// Says how it is, at once and with each sign of life from now on. The note is for people; Consul shows it.
    pub fn set_condition(&self, condition: Condition, note: impl Into<String>) {
        let note = note.into();
        self.order(|orders| (orders.condition, orders.note) = (condition, note));
    }

    /// Takes it out for maintenance: nobody finds it, and it stays registered (in etcd it keeps its lease alone).
    pub fn enter_maintenance(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.order(|orders| orders.presence = Presence::Maintenance(reason));
    }

    /// Back from maintenance.
    pub fn leave_maintenance(&self) {
        self.order(|orders| orders.presence = Presence::Here);
    }

    /// Deregisters, then waits for `delay`, so that callers who know the address have time to see that it is gone.
    /// Blocks the thread.
    ///
    /// # Errors
    ///
    /// Why it could not be deregistered; the delay was waited for all the same, and the TTL takes it away.
    pub fn drain(mut self, delay: Duration) -> Result<(), RegisterError> {
        let left = self.leave();
        std::thread::sleep(delay);
        left
    }

    /// Deregisters and waits for that. Blocks the thread. The same as dropping it, with an answer.
    ///
    /// # Errors
    ///
    /// Why it could not be deregistered; the TTL takes it away.
    pub fn deregister(mut self) -> Result<(), RegisterError> {
        self.leave()
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_if_modified(|orders| {
            let before = orders.clone();
            change(orders);
            *orders != before
        });
    }

    fn leave(&mut self) -> Result<(), RegisterError> {
        self.order(|orders| orders.presence = Presence::Gone);
        if let Some(thread) = self.thread.take()
            && self.board.wait_for_end(FAREWELL)
        {
            // It has said its last word; what is left of it is the end of its runtime. A panic was logged.
            let _ = thread.join();
        }
        match self.status() {
            Status::Left => Ok(()),
            Status::Failed(error) => Err(error),
            _ => Err(RegisterError::Late { within: FAREWELL, last: None }),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // The keeper has logged what there is to say.
            let _ = self.leave();
        }
    }
}

/// Leaves nobody waiting for a thread that is gone.
struct Ending<'a>(&'a Board);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.set(Status::Failed(RegisterError::Thread("it has ended".into())));
    }
}

fn keep(
    registrar: Registrar,
    registration: Registration,
    board: &Board,
    orders: watch::Receiver<Orders>,
) -> Result<(), RegisterError> {
    if !registrar.avoid.is_empty()
        && let Err(error) = crate::pin::avoid(&registrar.avoid)
    {
        tracing::warn!("the registration's thread stays where it is: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| RegisterError::Thread(error.to_string()))?;
    match registrar.registry {
        Registry::Consul(config) => {
            let backend = super::consul::AgentBackend::new(&config, &registration)?;
            let keeper = Keeper::new(backend, &registration, board, orders);
            runtime.block_on(keeper.run(|orders| matches!(orders.presence, Presence::Maintenance(_))));
        }
        #[cfg(feature = "etcd")]
        Registry::Etcd(config) => {
            let backend = super::etcd::LeaseBackend::new(&config, &registration)?;
            let keeper = Keeper::new(backend, &registration, board, orders);
            runtime.block_on(keeper.run(super::etcd::withdraws));
        }
    }
    Ok(())
}
