//! Asks again and again whether the registry is there and has a leader.
//!
//! A parked blocking query says nothing for as long as nothing changes, and a frozen agent says nothing either. The
//! heartbeat tells them apart, within its own short deadline.

use std::time::Duration;

use reqwest::StatusCode;
use resolver_core::Reason;

use crate::pace::{Backoff, Bucket};
use crate::source::Fault;

use super::agent::{Agents, Lane, Request};
use super::contact::Contact;

/// Beats for ever.
pub(super) async fn beat(agents: &Agents, contact: &Contact<'_>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut bucket = Bucket::new(2, Duration::from_millis(100));
    let mut known = None;
    loop {
        bucket.wait().await;
        agents.refresh();
        match leader(agents).await {
            Ok(leader) => {
                backoff.reset();
                // Queries that are parked on a leader that froze hang for as long as they may, though another one rules.
                let afresh = known.as_ref().is_some_and(|known| *known != leader);
                if afresh {
                    tracing::info!(%leader, "the registry has a new leader; reading everything again");
                }
                known = Some(leader);
                contact.up(afresh);
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = contact.doubted() => {}
                }
            }
            Err(fault) => {
                contact.down(fault);
                agents.rotate();
                backoff.wait().await;
            }
        }
    }
}

/// The leader's address.
async fn leader(agents: &Agents) -> Result<String, Fault> {
    let request = Request::get(["status", "leader"]);
    let answer = agents.send(Lane::Beat, &request, DEADLINE).await?;
    if answer.status != StatusCode::OK {
        return Err(agents.refusal(&request, &answer));
    }
    match serde_json::from_slice::<String>(&answer.body) {
        Ok(leader) if leader.is_empty() => {
            Err(agents.fault(Reason::NoLeader, &request, "the cluster has no leader"))
        }
        Ok(leader) => Ok(leader),
        Err(wrong) => {
            Err(agents.fault(Reason::BadAnswer, &request, format_args!("not a leader's address: {wrong}")))
        }
    }
}

/// Between two beats that were good.
const INTERVAL: Duration = Duration::from_secs(2);
/// A beat that takes longer is none.
const DEADLINE: Duration = Duration::from_secs(2);
