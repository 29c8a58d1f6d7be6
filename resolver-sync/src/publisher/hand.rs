//! An operator's orders, carried out.

use std::time::{Duration, Instant};

use resolver_core::{Counter, IncidentKind};
use tokio::sync::mpsc;

use super::Publisher;
use crate::control::{Answer, Asked, Control, Request, Terms};
use crate::kill::{Kill, Kills, MOST};
use crate::ledger::now_ms;
use crate::view::View;

/// Orders that wait: one, as the server asks one after the other.
const WAITING: usize = 1;

/// Where a publisher takes orders from, and what is out already.
#[derive(Default)]
pub(crate) struct Hand {
    pub(crate) kills: Kills,
    pub(crate) control: Option<Control>,
}

/// What is asked of a publisher that runs. Nothing, ever, where nobody can ask.
pub(super) struct Orders {
    asked: mpsc::Receiver<Asked>,
    /// So that the channel stays open where there is no server.
    _sender: mpsc::Sender<Asked>,
    terms: Terms,
    _server: Option<super::task::AbortOnDrop>,
}

impl Orders {
    pub(super) fn of(control: Option<Control>) -> Self {
        let (sender, asked) = mpsc::channel(WAITING);
        let terms = control.as_ref().map_or_else(Terms::default, |control| control.terms);
        let serve = |control: Control| super::task::AbortOnDrop::spawn(control.serve(sender.clone()));
        let server = control.map(serve);
        Orders { asked, _sender: sender, terms, _server: server }
    }

    pub(super) async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            // There is a sender for as long as this is.
            None => std::future::pending().await,
        }
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }
}

impl Publisher<'_> {
    /// Does what an operator asks, at once, and says what was done.
    pub(super) fn obey(&mut self, asked: Asked, terms: Terms) {
        let Asked { request, by, reply } = asked;
        let answer = match request {
            Request::List => Ok(Answer { kills: self.shelf.kills().list(), ..Answer::default() }),
            Request::Kill { target, service, for_ms, reason } => {
                let usual = u64::try_from(terms.usual.as_millis()).unwrap_or(u64::MAX);
                let since_ms = now_ms();
                let until_ms = since_ms.saturating_add(for_ms.unwrap_or(usual));
                self.kill(Kill { target, service, since_ms, until_ms, reason, by })
            }
            Request::Allow { target, service } => {
                let before = self.shelf.kills().list().len();
                let back = self.shelf.kills().take_back(&target, service.as_deref());
                tracing::warn!(%target, service, by, back, "an operator lets an endpoint in again");
                if back == 0 {
                    let everywhere = self.shelf.kills().is_out_everywhere(&target) && service.is_some();
                    Err(match everywhere {
                        true => format!(
                            "{target} is out of every service by one order: allow it without --service"
                        ),
                        false => format!("{target} is not out; {before} others are (resolver kills)"),
                    })
                } else {
                    self.ledger.count(Counter::Allows, back as u64);
                    let services = self.rejudge();
                    Ok(Answer { services, kills: self.shelf.kills().list(), ..Answer::default() })
                }
            }
        };
        // An operator who has gone away meanwhile finds it in the log, and by `resolver kills`.
        let _ = reply.send(answer);
    }

    fn kill(&mut self, kill: Kill) -> Result<Answer, String> {
        let until_ms = kill.until_ms;
        let Kill { target, service, reason, by, since_ms, .. } = &kill;
        let seconds = (until_ms - since_ms) / 1000;
        tracing::warn!(%target, service, by, seconds, reason, "an operator takes an endpoint out");
        let view = kill.service.clone();
        if !self.shelf.kills().add(kill) {
            return Err(format!("{MOST} endpoints are out already; let some in again"));
        }
        self.ledger.count(Counter::Kills, 1);
        let services = self.rejudge();
        let mut notes = Vec::new();
        if let Some(name) = view.filter(|name| self.shelf.owner(name).is_none()) {
            notes.push(format!("there is no service {name:?} now; names are those of `resolver list`"));
        }
        for (name, _) in services.iter().filter(|(_, left)| *left == 0) {
            tracing::warn!(name, "empty: an operator took out the last endpoint");
            notes.push(format!("{name} is EMPTY now: that was its last endpoint"));
        }
        Ok(Answer { services, kills: self.shelf.kills().list(), until_ms: Some(until_ms), notes })
    }

    /// Lets in again what was out for its time.
    pub(super) fn end_kills(&mut self, now: Instant) {
        let over = self.shelf.kills().expire(now);
        if over.is_empty() {
            return;
        }
        for Kill { target, service, .. } in &over {
            tracing::warn!(%target, service, "its time is over: the endpoint is let in again");
        }
        self.ledger.count(Counter::Allows, over.len() as u64);
        self.rejudge();
    }

    /// Publishes what stands once more, where other endpoints are out now than when it was published. Gives the names and how many
    /// endpoints each has left.
    pub(super) fn rejudge(&mut self) -> Vec<(String, usize)> {
        let views = if self.views.is_empty() {
            let names = self.shelf.names().into_iter();
            let view = |name: String| {
                let source = self.sources.get(usize::from(self.shelf.owner(&name)?))?;
                Some(View::of_service(source.name(), &name))
            };
            names.filter_map(view).collect()
        } else {
            self.views.clone()
        };
        let began = Instant::now();
        let changed = self.shelf.rejudge(views);
        for name in &changed.failed {
            tracing::error!(name, "what is out could not be taken out of what stands");
            self.ledger.note(
                IncidentKind::Operator,
                name,
                "what is out could not be taken out of what stands",
            );
        }
        let took = began.elapsed();
        if took > Duration::from_millis(100) {
            tracing::warn!(milliseconds = took.as_millis(), "an order took its time");
        }
        changed.names
    }
}
