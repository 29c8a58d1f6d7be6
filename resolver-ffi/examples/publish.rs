//! Publishes what `count.c` resolves, at the path that it is given, and ends: a segment outlives its writer.

use std::process::ExitCode;

use resolver_core::{Capacity, Endpoint, OwnedSegment, Publication, Standing};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: publish PATH");
        return ExitCode::from(2);
    };
    match publish(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn publish(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut owned = OwnedSegment::acquire(path, &Capacity::SMALL)?;
    let mut writer = owned.writer()?;
    let oms = writer.add("oms")?;
    let set = [1u8, 2, 3, 4, 5, 6, 7, 8].map(|n| {
        let address = std::net::SocketAddr::from(([10, 0, 0, n], 9000));
        let tags = if n == 8 { 3 } else { 1 };
        let endpoint = Endpoint::new(address).with_id(u64::from(n)).with_weight(10 * u32::from(n));
        endpoint.with_tags(tags).with_zone(3)
    });
    let publication = Publication { smooth: true, maglev: 1000, ..Publication::new(&set, Standing::FRESH) };
    writer.publish_as(oms, &publication)?;
    let limit = writer.add_setting::<i64>("limit")?;
    writer.set(limit, 1, Standing::FRESH)?;
    Ok(())
}
