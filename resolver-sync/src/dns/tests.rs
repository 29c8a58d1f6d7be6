//! What a real server cannot be made to do: a scripted one, by UDP and TCP on one port.

use std::sync::Arc;
use std::time::Instant;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::source::Report;

/// What a scripted server says to a question; nothing at all if it says so.
type Script = dyn Fn(&str, RecordType, bool) -> Option<Message>;

/// Answers on a port of its own for as long as the test's runtime lives. The script is told whether it is asked by UDP.
async fn server(script: impl Fn(&str, RecordType, bool) -> Option<Message> + 'static) -> SocketAddr {
    let script: std::rc::Rc<Script> = std::rc::Rc::new(script);
    let (udp, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = tcp.local_addr().expect("bound");
        if let Ok(udp) = UdpSocket::bind(place).await {
            break (udp, tcp);
        }
    };
    let place = tcp.local_addr().expect("bound");
    let by_udp = script.clone();
    tokio::task::spawn_local(async move {
        let mut bytes = [0; 4096];
        while let Ok((count, from)) = udp.recv_from(&mut bytes).await {
            if let Some(answer) = answer(&*by_udp, &bytes[..count], true) {
                let _ = udp.send_to(&answer, from).await;
            }
        }
    });
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let script = script.clone();
            tokio::task::spawn_local(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut bytes = vec![0; length.into()];
                    if stream.read_exact(&mut bytes).await.is_err() {
                        return;
                    }
                    let Some(answer) = answer(&*script, &bytes, false) else { continue };
                    let length = u16::try_from(answer.len()).expect("short");
                    if stream.write_u16(length).await.is_err() || stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    place
}

fn answer(script: &Script, question: &[u8], udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).expect("a question");
    let query = question.queries.first().expect("one").clone();
    let mut answer = script(&query.name().to_utf8(), query.query_type(), udp)?;
    answer.metadata.id = question.metadata.id;
    answer.add_query(query);
    Some(answer.to_vec().expect("encoded"))
}

fn reply() -> Message {
    Message::response(0, hickory_resolver::proto::op::OpCode::Query)
}

fn a(name: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(Name::from_utf8(name).expect("a name"), ttl, RData::A(A::new(10, 0, 0, last)))
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    let target = Name::from_utf8(target).expect("a name");
    let name = Name::from_utf8("_oms._tcp.example.").expect("a name");
    Record::from_rdata(name, 30, RData::SRV(SRV::new(priority, weight, port, target)))
}

fn source(place: SocketAddr, name: &str, transport: Transport) -> DnsSource {
    let names = [("oms".to_owned(), name.to_owned())].into();
    let (deadline, floor) = (Duration::from_millis(800), Duration::from_millis(20));
    let config =
        DnsConfig { servers: vec![place], names, transport, deadline, floor, ..DnsConfig::default() };
    DnsSource::new(config).expect("a good configuration")
}

/// Runs the watch until what it has said is so; gives that, with the services of the reports before.
async fn until(watch: &mut LocalFuture<'_, ()>, feed: &Feed, so: impl Fn(&Report) -> bool) -> Report {
    let wait = async {
        let mut services = BTreeMap::new();
        loop {
            tokio::select! {
                () = &mut *watch => unreachable!("a watch never returns"),
                () = feed.ready() => {}
            }
            let mut report = feed.take();
            services.append(&mut report.services);
            report.services.clone_from(&services);
            if so(&report) {
                return report;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("not so within 10 s")
}

fn locally<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

fn ports(set: &ServiceSet) -> Vec<(String, u16, u32, u8)> {
    set.instances.iter().map(|i| (i.address.to_string(), i.port, i.weight, i.tier)).collect()
}

#[test]
fn srv_records_with_addresses_sent_along_and_asked_for() {
    locally(async {
        let place = server(|name, of, _| {
            let mut reply = reply();
            match (name, of) {
                ("_oms._tcp.example.", RecordType::SRV) => {
                    reply.add_answer(srv(10, 5, 9000, "a.example."));
                    reply.add_answer(srv(10, 0, 9001, "b.example."));
                    reply.add_answer(srv(20, 7, 9002, "b.example."));
                    reply.add_answer(srv(20, 7, 9003, "none.example."));
                    reply.add_answer(srv(0, 1, 1, "."));
                    reply.add_additional(a("a.example.", 30, 1));
                }
                ("b.example.", RecordType::A) => {
                    reply.add_answer(a("b.example.", 30, 2));
                    reply.add_answer(a("b.example.", 30, 3));
                }
                ("none.example.", _) => reply.metadata.response_code = ResponseCode::NXDomain,
                _ => {}
            }
            Some(reply)
        })
        .await;
        for transport in [Transport::Tcp, Transport::Udp] {
            let (source, feed) = (source(place, "_oms._tcp.example", transport), Feed::default());
            let mut watch = source.watch(Vec::new(), &feed);
            let report = until(&mut watch, &feed, |report| report.alive_at.is_some()).await;
            let set = &report.services["oms"];
            let seen = ports(set);
            let wanted = [("10.0.0.1", 9000, 5, 0), ("10.0.0.2", 9001, 1, 0), ("10.0.0.3", 9001, 1, 0)];
            let backup = [("10.0.0.2", 9002, 7, 1), ("10.0.0.3", 9002, 7, 1)];
            let wanted: Vec<_> =
                wanted.iter().chain(&backup).map(|(a, p, w, t)| ((*a).to_owned(), *p, *w, *t)).collect();
            assert_eq!(seen, wanted, "{transport:?}");
            assert_eq!(set.instances[0].id, "a.example:9000");
            assert_eq!(set.instances[1].id, "b.example:9001@10.0.0.2");
            assert_eq!((set.rejected.len(), set.rejected[0].id.as_str()), (1, "none.example:9003"));
        }
    });
}

#[test]
fn an_answer_that_was_cut_is_asked_for_by_tcp() {
    locally(async {
        let place = server(|name, of, udp| {
            let mut reply = reply();
            if of == RecordType::A {
                let count = if udp { 1 } else { 40 };
                reply.metadata.truncation = udp;
                (1..=count).for_each(|last| {
                    reply.add_answer(a(name, 30, last));
                });
            }
            Some(reply)
        })
        .await;
        let (source, feed) = (source(place, "oms.example:80", Transport::Udp), Feed::default());
        let mut watch = source.watch(Vec::new(), &feed);
        let report = until(&mut watch, &feed, |report| report.alive_at.is_some()).await;
        assert_eq!(report.services["oms"].instances.len(), 40);
    });
}

#[test]
fn the_time_to_live_sets_the_pace() {
    locally(async {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let theirs = asked.clone();
        let place = server(move |name, of, _| {
            let mut reply = reply();
            if of == RecordType::A {
                let mut asked = theirs.lock().expect("not poisoned");
                asked.push(Instant::now());
                // Four at the floor's pace, one of a second, and the last.
                let ttl = u32::from(asked.len() == 4);
                reply.add_answer(a(name, ttl, u8::try_from(asked.len()).expect("few")));
            }
            Some(reply)
        })
        .await;
        let (source, feed) = (source(place, "oms.example:80", Transport::Tcp), Feed::default());
        let mut watch = source.watch(Vec::new(), &feed);
        let fifth =
            |report: &Report| report.services.get("oms").is_some_and(|set| ports(set)[0].0 == "10.0.0.5");
        until(&mut watch, &feed, fifth).await;
        let asked = asked.lock().expect("not poisoned");
        assert!(asked[1] - asked[0] >= Duration::from_millis(20), "not below the floor");
        assert!(asked[4] - asked[3] >= Duration::from_secs(1), "not before it expires");
    });
    let (floor, ceiling) = (Duration::from_secs(1), Duration::from_secs(60));
    for (ttl, least, most) in [(0, 1.0, 1.1), (30, 30.0, 33.0), (86_400, 60.0, 66.0)] {
        let pause = pause(Duration::from_secs(ttl), floor, ceiling).as_secs_f64();
        assert!((least..=most).contains(&pause), "{ttl} gave {pause}");
    }
}

#[test]
fn a_name_that_is_not_there_is_an_empty_answer_and_a_failure_is_none() {
    locally(async {
        let mode = Arc::new(Mutex::new("good"));
        let theirs = mode.clone();
        let place = server(move |name, of, _| {
            let mut reply = reply();
            match *theirs.lock().expect("not poisoned") {
                "silent" => return None,
                "failing" => reply.metadata.response_code = ResponseCode::ServFail,
                "refusing" => reply.metadata.response_code = ResponseCode::Refused,
                "gone" => reply.metadata.response_code = ResponseCode::NXDomain,
                // An error for one kind of address: what is left is not the whole.
                "half" if of == RecordType::AAAA => reply.metadata.response_code = ResponseCode::ServFail,
                _ if of == RecordType::A => {
                    reply.add_answer(a(name, 0, 1));
                }
                _ => {}
            }
            Some(reply)
        })
        .await;
        let set = |to| *mode.lock().expect("not poisoned") = to;
        let (source, feed) = (source(place, "oms.example:80", Transport::Tcp), Feed::default());
        let mut watch = source.watch(vec!["oms".into(), "old".into()], &feed);
        let report = until(&mut watch, &feed, |report| report.alive_at.is_some()).await;
        assert!(report.services["old"].instances.is_empty(), "nobody asks for it any more");
        let revision = report.services["oms"].revision;
        for bad in ["failing", "refusing", "half", "silent"] {
            set(bad);
            let report = until(&mut watch, &feed, |report| report.lost.is_some()).await;
            let fault = &report.doubts["oms"];
            assert!(fault.detail.contains("oms.example"), "{bad}: {fault:?}");
            assert!(!report.services.contains_key("oms"), "{bad}: said to be empty");
            source.confirm("oms").await.expect_err("it was answered");
            set("good");
            // The same as before, and news all the same: the doubt has to end.
            let report = until(&mut watch, &feed, |report| report.services.contains_key("oms")).await;
            assert_eq!(report.services["oms"].instances.len(), 1);
        }
        set("gone");
        let report = until(&mut watch, &feed, |report| report.services.contains_key("oms")).await;
        assert!(report.services["oms"].instances.is_empty() && report.services["oms"].revision > revision);
        let again = source.confirm("oms").await.expect("answered");
        assert!(again.instances.is_empty() && again.revision > report.services["oms"].revision);
        assert!(source.confirm("old").await.expect("nobody asks").instances.is_empty());
        // After a second read each answer is news: it may differ from what is believed now.
        let report = until(&mut watch, &feed, |report| report.services.contains_key("oms")).await;
        assert!(report.services["oms"].instances.is_empty());
    });
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let refused = |names: &[(&str, &str)]| {
        let names = names.iter().map(|(service, name)| ((*service).into(), (*name).into())).collect();
        DnsSource::new(DnsConfig { names, ..DnsConfig::default() }).err().expect("it was taken").to_string()
    };
    assert!(refused(&[]).contains("no names"));
    for name in ["", ":80", "a.example:0", "a.example:http", "a.example:70000", "10.0.0.1:80", "a..b"] {
        assert!(refused(&[("oms", name)]).contains("\"oms\""), "{name}");
    }
    assert_eq!(Question::read("a.example:80"), Question::read("a.example.:80"));
}
