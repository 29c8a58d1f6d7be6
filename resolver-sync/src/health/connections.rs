//! The connections of a health server: a bounded number, of which the oldest makes room.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use super::answer::Pages;
use super::server::HealthOptions;

/// Request line and headers together; hyper takes no less.
const HEAD_BYTES: usize = 8 * 1024;
/// Header lines in one request.
const HEADERS: usize = 64;

pub(super) struct Connections {
    tasks: JoinSet<()>,
    /// Oldest first.
    order: VecDeque<AbortHandle>,
    most: usize,
    header_timeout: Duration,
    lifetime: Duration,
    pages: Arc<Pages>,
}

impl Connections {
    pub(super) fn new(options: &HealthOptions, pages: Arc<Pages>) -> Self {
        Connections {
            tasks: JoinSet::new(),
            order: VecDeque::new(),
            most: options.connections.max(1),
            header_timeout: options.header_timeout,
            lifetime: options.lifetime,
            pages,
        }
    }

    /// Serves a connection. Where there are too many, the oldest is closed: who asks at once is answered within moments
    /// of connecting, so the oldest one is nobody who waits for an answer, but a slow or an idle one.
    pub(super) fn add(&mut self, stream: TcpStream) {
        self.order.retain(|handle| !handle.is_finished());
        while self.order.len() >= self.most {
            if let Some(oldest) = self.order.pop_front() {
                oldest.abort();
            }
        }
        let pages = Arc::clone(&self.pages);
        let (header_timeout, lifetime) = (self.header_timeout, self.lifetime);
        let task = async move {
            let service = service_fn(|request| {
                let answer = pages.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            // How a connection ends is its client's affair. The lifetime covers one that reads its answer too slowly.
            let _ = tokio::time::timeout(lifetime, connection).await;
        };
        self.order.push_back(self.tasks.spawn(task));
    }

    /// Waits until a connection has ended; for ever while there is none.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}
