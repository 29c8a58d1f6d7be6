//! `reporter SEGMENT SOCKET VIEW`: a process that uses a view's endpoints and reports how it went. Each line of its input is
//! an instance's id and `success` or `failure`; when the input ends, it has sent everything, and says how many it dropped.

#![allow(clippy::print_stdout, reason = "a program that is asked for its output")]

use std::error::Error;

use resolver_core::Segment;
use resolver_sync::report::{Outcome, ReportForwarder, queue};
use resolver_sync::view::id_hash;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |name: &str| args.next().ok_or(format!("{name} is missing"));
    let (segment, socket, view) = (arg("SEGMENT")?, arg("SOCKET")?, arg("VIEW")?);
    let segment = Segment::open(segment)?;
    let service = segment.reader().service(&view).ok_or("there is no such view")?;
    let (reporter, reports) = queue(4096);
    let forwarder = ReportForwarder::start(socket, reports, &[])?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (id, outcome) = line.split_once(' ').ok_or("a line is an id and an outcome")?;
        let outcome = match outcome {
            "success" => Outcome::Success,
            "failure" => Outcome::Failure,
            other => return Err(format!("{other} is no outcome").into()),
        };
        reporter.report(service, id_hash(id), outcome);
    }
    drop(forwarder);
    println!("{}", reporter.dropped());
    Ok(())
}
