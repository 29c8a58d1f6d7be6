//! `resolver kill`, `allow` and `kills`: the operator's hand, through the agent.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use resolver_core::shm;
use resolver_sync::config::control_path;
use resolver_sync::control::{Answer, ControlError, Request, ask};
use resolver_sync::kill::{Kill, Target};
use serde::Serialize;

use crate::{Failure, output};

/// Which agent.
#[derive(Args)]
struct AgentPlace {
    /// The agent's segment; its control socket is beside it unless --socket says otherwise.
    #[arg(long, value_name = "PATH", default_value = shm::DEFAULT_PATH)]
    segment: PathBuf,
    /// The agent's control socket, as its configuration names it.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The agent's user id, where it is neither this user's nor root's.
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct KillArgs {
    /// The endpoint: its address and port (`10.0.0.1:9000`, `[2001:db8::1]:9000`), or its id.
    endpoint: String,
    /// Out of this service (or view) alone, by the name that `list` prints; else out of every one.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// For how long: a whole number with its unit (90s, 30m, 2h); else as the agent is configured (30m).
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// Why, for those who look at it later.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    agent: AgentPlace,
}

#[derive(Args)]
pub(crate) struct AllowArgs {
    /// The endpoint, as it was taken out.
    endpoint: String,
    /// Where it was taken out of this service alone.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    #[command(flatten)]
    agent: AgentPlace,
}

#[derive(Args)]
pub(crate) struct KillsArgs {
    #[command(flatten)]
    agent: AgentPlace,
}

#[derive(Serialize)]
struct Said<'a> {
    /// Names whose answers have changed.
    services: Vec<Changed<'a>>,
    until_ms: Option<u64>,
    notes: &'a [String],
    kills: Vec<Out<'a>>,
}

#[derive(Serialize)]
struct Changed<'a> {
    service: &'a str,
    endpoints_left: usize,
}

#[derive(Serialize)]
struct Out<'a> {
    endpoint: String,
    /// `null`: out of every service.
    service: Option<&'a str>,
    since_ms: u64,
    until_ms: u64,
    reason: &'a str,
    by_uid: u32,
}

pub(crate) fn kill(args: &KillArgs) -> Result<(), Failure> {
    let request = Request::Kill {
        target: Target::parse(&args.endpoint),
        service: args.service.clone(),
        for_ms: args.time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        reason: args.reason.clone(),
    };
    let answer = args.agent.ask(&request)?;
    let seconds = answer.until_ms.unwrap_or_default().saturating_sub(now_ms()).div_ceil(1000);
    let (endpoint, services) = (&args.endpoint, list(&answer));
    args.agent.say(&answer, format!("{endpoint} is out for {seconds} s: {services}"))?;
    // What else has it, `kills` tells; that nobody had it may be a mistyped address.
    if answer.services.is_empty() {
        let words = "no answer has changed by it: no service has this endpoint now, or it was out already";
        return Err(output::fail(Failure::NoEndpoint, format_args!("{words}; the order stands")));
    }
    Ok(())
}

pub(crate) fn allow(args: &AllowArgs) -> Result<(), Failure> {
    let request = Request::Allow { target: Target::parse(&args.endpoint), service: args.service.clone() };
    let answer = args.agent.ask(&request)?;
    args.agent.say(&answer, format!("{} is let in again: {}", args.endpoint, list(&answer)))
}

pub(crate) fn kills(args: &KillsArgs) -> Result<(), Failure> {
    let answer = args.agent.ask(&Request::List)?;
    if args.agent.json {
        return args.agent.say(&answer, String::new());
    }
    for kill in &answer.kills {
        let Kill { target, service, since_ms, until_ms, reason, by } = kill;
        let service = service.as_deref().map_or("every service".to_owned(), |name| format!("service {name}"));
        let (left, ago) =
            (until_ms.saturating_sub(now_ms()) / 1000, now_ms().saturating_sub(*since_ms) / 1000);
        let why = if reason.is_empty() { String::new() } else { format!("  {reason}") };
        let line = format!("{target}  out of {service}  for {left} s more, since {ago} s, by uid {by}{why}");
        output::line(output::printable(&line))?;
    }
    Ok(())
}

fn list(answer: &Answer) -> String {
    let number = match answer.services.len() {
        1 => "1 service".to_owned(),
        number => format!("{number} services"),
    };
    let names: Vec<String> =
        answer.services.iter().map(|(name, left)| format!("{name} ({left} endpoints left)")).collect();
    if names.is_empty() { number } else { format!("{number}: {}", names.join(", ")) }
}

impl AgentPlace {
    fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let path = self.socket.clone().unwrap_or_else(|| control_path(&self.segment));
        ask(&path, request, self.owner).map_err(|error| {
            let failure = match error {
                ControlError::Refused(_) => Failure::Failed,
                _ => Failure::NoSegment,
            };
            output::fail(failure, output::printable(&error.to_string()))
        })
    }

    fn say(&self, answer: &Answer, line: String) -> Result<(), Failure> {
        if self.json {
            let services = answer.services.iter();
            let out = |kill| {
                let Kill { target, service, since_ms, until_ms, reason, by }: &Kill = kill;
                let (endpoint, service) = (target.to_string(), service.as_deref());
                Out { endpoint, service, since_ms: *since_ms, until_ms: *until_ms, reason, by_uid: *by }
            };
            let said = Said {
                services: services
                    .map(|(service, left)| Changed { service, endpoints_left: *left })
                    .collect(),
                until_ms: answer.until_ms,
                notes: &answer.notes,
                kills: answer.kills.iter().map(out).collect(),
            };
            return output::line(serde_json::to_string(&said).unwrap_or_default());
        }
        output::line(output::printable(&line))?;
        answer.notes.iter().try_for_each(|note| output::line(output::printable(&format!("  {note}"))))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "a whole number with its unit (s, m, h), such as 30m".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2h", 7200)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "30", "m", "0s", "-1s", "1d", "18446744073709551615h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
