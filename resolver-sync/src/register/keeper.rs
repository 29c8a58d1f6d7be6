//! The loop that keeps an instance registered: register, prove each third of the TTL, register again.

use std::time::Duration;

use tokio::sync::watch;

use crate::pace::Backoff;

use super::backend::{Backend, Beat, Orders, Presence, Trouble};
use super::board::{Board, Status};
use super::error::RegisterError;
use super::instance::Registration;

/// How long the last words may take.
const LEAVE: Duration = Duration::from_secs(3);

pub(super) struct Keeper<'a, B> {
    backend: B,
    board: &'a Board,
    orders: watch::Receiver<Orders>,
    name: &'a str,
    id: String,
    period: Duration,
    /// Whether it was registered at all: what is refused at first ends the attempt, later on it is tried again.
    was_registered: bool,
}

/// Where an instance without its key stands, by its orders: etcd has no other way to say that it does not work.
pub(super) type Withdraws = fn(&Orders) -> bool;

impl<'a, B: Backend> Keeper<'a, B> {
    pub(super) fn new(
        backend: B,
        registration: &'a Registration,
        board: &'a Board,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        Keeper {
            backend,
            board,
            orders,
            name: &registration.name,
            id: registration.instance(),
            period: registration.ttl / 3,
            was_registered: false,
        }
    }

    /// Until it was told to leave, or somebody else has the id.
    pub(super) async fn run(mut self, withdraws: Withdraws) {
        let end = loop {
            if let Err(error) = self.registered(withdraws).await {
                break error;
            }
            match self.kept(withdraws).await {
                Ok(why) => {
                    tracing::warn!(
                        service = self.name,
                        id = self.id,
                        "not there any more, registering again: {why}"
                    );
                    self.board.set(Status::Trying(Some(why)));
                }
                Err(error) => break error,
            }
        };
        match end {
            End::Told => self.leave().await,
            End::Failed(error) => {
                tracing::error!(service = self.name, id = self.id, "{error}");
                self.board.set(Status::Failed(error));
            }
        }
    }

    /// Tries until it is registered.
    async fn registered(&mut self, withdraws: Withdraws) -> Result<(), End> {
        let mut backoff = Backoff::new(Duration::from_millis(50), self.period.min(Duration::from_secs(5)));
        loop {
            let orders = self.orders.borrow_and_update().clone();
            if orders.presence == Presence::Gone {
                return Err(End::Told);
            }
            match self.backend.register(&orders).await {
                Ok(()) => {
                    self.was_registered = true;
                    self.board.registered();
                    self.stand(&orders, withdraws);
                    tracing::info!(service = self.name, id = self.id, "registered");
                    return Ok(());
                }
                Err(trouble) => self.failed(trouble)?,
            }
            tokio::select! {
                () = backoff.wait() => {}
                // Told to leave, or another condition: both are to be looked at, and neither costs more than a try.
                _ = self.orders.changed() => {}
            }
        }
    }

    /// Gives signs of life until what was registered is not there any more: why.
    async fn kept(&mut self, withdraws: Withdraws) -> Result<String, End> {
        let mut backoff = Backoff::new(Duration::from_millis(50), self.period);
        // Spread a little, so that a fleet that began at one moment does not go on at one moment.
        let mut pause = self.period.mul_f64(0.9 + fastrand::f64() / 10.0);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.orders.changed() => if changed.is_err() { return Err(End::Told) },
            }
            let orders = self.orders.borrow_and_update().clone();
            if orders.presence == Presence::Gone {
                return Err(End::Told);
            }
            let beat = tokio::select! {
                beat = self.backend.beat(&orders) => beat,
                // A sign of life is nothing to wait for when another one, or none, is wanted.
                _ = self.orders.changed() => {
                    self.orders.mark_changed();
                    continue;
                }
            };
            match beat {
                Ok(Beat::Fine) => {
                    self.board.beat();
                    self.stand(&orders, withdraws);
                    backoff.reset();
                    pause = self.period.mul_f64(0.9 + fastrand::f64() / 10.0);
                }
                Ok(Beat::Vanished(why)) => return Ok(why),
                Err(trouble) => {
                    self.failed(trouble)?;
                    pause = backoff.delay();
                }
            }
        }
    }

    fn stand(&self, orders: &Orders, withdraws: Withdraws) {
        self.board.set(if withdraws(orders) { Status::Withdrawn } else { Status::Registered });
    }

    /// Says what came of it; the end, where trying again is of no use.
    fn failed(&mut self, trouble: Trouble) -> Result<(), End> {
        self.board.fault();
        let held = matches!(trouble, Trouble::Held(_));
        let last = matches!(trouble, Trouble::Refused(_) | Trouble::TakenOver(_));
        let error = trouble.into_error(self.name, &self.id);
        if last || (!self.was_registered && !error.is_temporary()) {
            return Err(End::Failed(error));
        }
        let words = error.to_string();
        let status = match self.board.status() {
            Status::Registered | Status::Unproven(_) | Status::Withdrawn => Status::Unproven(words.clone()),
            _ => Status::Trying(Some(words.clone())),
        };
        if self.board.status() != status && !held {
            tracing::warn!(service = self.name, id = self.id, "{words}");
        }
        self.board.set(status);
        Ok(())
    }

    async fn leave(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
        let mut last = None;
        let tried = async {
            loop {
                match self.backend.leave().await {
                    Ok(()) => return,
                    Err(trouble) => last = Some(trouble.into_error(self.name, &self.id)),
                }
                backoff.wait().await;
            }
        };
        if tokio::time::timeout(LEAVE, tried).await.is_ok() {
            tracing::info!(service = self.name, id = self.id, "deregistered");
            self.board.set(Status::Left);
        } else {
            let error = last.unwrap_or(RegisterError::Late { within: LEAVE, last: None });
            tracing::error!(service = self.name, id = self.id, "not deregistered, gone by its TTL: {error}");
            self.board.set(Status::Failed(error));
        }
    }
}

/// Why a keeper ends.
enum End {
    /// It was told to.
    Told,
    Failed(RegisterError),
}
