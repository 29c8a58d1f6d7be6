//! What is answered to a request.

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::{Health, Report};

/// Where the text for Prometheus comes from.
pub(super) type Metrics = Box<dyn Fn() -> String + Send + Sync>;

/// What requests are answered from.
pub(super) struct Pages {
    pub(super) health: Health,
    pub(super) metrics: Option<Metrics>,
}

impl Pages {
    pub(super) fn answer<B: Body>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        // Nothing here has a use for a body, so none is read.
        if request.body().size_hint().upper() != Some(0) {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "no body is taken\n");
        }
        match (request.uri().path(), &self.metrics) {
            ("/health", _) => report(&self.health.report()),
            ("/ready", _) => report(&self.health.readiness()),
            ("/metrics", Some(metrics)) => {
                page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics())
            }
            ("/metrics", None) => plain(StatusCode::NOT_FOUND, "there are no metrics\n"),
            _ => plain(StatusCode::NOT_FOUND, "there are /health, /ready and /metrics\n"),
        }
    }
}

fn report(report: &Report) -> Response<Full<Bytes>> {
    let status = if report.is_up() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Strings alone: there is nothing that could fail.
    page(status, "application/json", serde_json::to_string(report).unwrap_or_default() + "\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    page(status, "text/plain; charset=utf-8", text.into())
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
