//! The HTTP pages `/metrics`, `/livez`, `/readyz` and `/healthz`, for scrapers and load balancers,
//! on a listener of their own.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::exposition::Format;
use crate::metrics::{Metrics, StoreState};
use crate::places::Places;
use crate::server::ACCEPT_PAUSE;
use crate::store::Store;

/// The number of connections. A new one takes the place of the one that has asked for nothing for
/// the longest time.
const AT_ONCE: usize = 16;
/// The time for the head of a request, and between two requests. A scraper that comes every minute
/// keeps its connection. It need not be shorter, because slow connections give way to new ones.
const HEAD_TIME: Duration = Duration::from_secs(90);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;

const PLAIN: &str = "text/plain; charset=utf-8";

/// The HTTP side of a server: its metrics, and its state.
pub struct MetricsHttp<S> {
    metrics: Arc<Metrics>,
    /// The store, once it is open.
    store: OnceLock<Arc<S>>,
    stopping: AtomicBool,
}

impl<S: Store> MetricsHttp<S> {
    /// Makes the HTTP side of a server that is starting.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { metrics, store: OnceLock::new(), stopping: AtomicBool::new(false) })
    }

    /// Notes that the server is ready for clients.
    pub fn ready(&self, store: &Arc<S>) {
        // It is set once.
        let _ = self.store.set(Arc::clone(store));
    }

    /// Notes that the server lets no more clients in.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Answers requests for ever.
    pub async fn answer_all(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Places::new(AT_ONCE));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (number, must_go) = places.take();
            let (http, places) = (Arc::clone(&self), Arc::clone(&places));
            tokio::spawn(async move {
                tokio::select! {
                    () = must_go => {}
                    () = http.serve(stream, || places.active(number)) => {}
                }
                places.leave(number);
            });
            // Earlier connections have a turn before the next one is accepted.
            yield_now().await;
        }
    }

    async fn serve<T>(&self, stream: T, active: impl Fn())
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(async |request: Request<Incoming>| {
            // Each request is one turn, so that other connections have theirs in between.
            yield_now().await;
            active();
            Ok::<_, Infallible>(self.answer(
                request.method(),
                request.uri().path(),
                request.headers(),
            ))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            // Some clients send a request and close their side at once.
            .half_close(true)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service);
        // A client that breaks the rules of HTTP, or goes away, can come again.
        let _ = connection.await;
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer =
                response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n".into());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/metrics" => self.metrics(headers),
            "/livez" => response(StatusCode::OK, PLAIN, "ok\n".into()),
            "/readyz" | "/healthz" => match self.unready() {
                None => response(StatusCode::OK, PLAIN, "ok\n".into()),
                Some(why) => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
            },
            _ => {
                let paths = "/metrics, /livez, /readyz or /healthz\n";
                response(StatusCode::NOT_FOUND, PLAIN, paths.into())
            }
        }
    }

    /// The reason why clients should not come; `None` if they can.
    fn unready(&self) -> Option<&'static str> {
        match (self.stopping.load(Ordering::Relaxed), self.store.get()) {
            (true, _) => Some("stopping"),
            (false, None) => Some("starting"),
            (false, Some(store)) if !store.health().is_writable() => {
                Some("nothing can be stored now")
            }
            (false, Some(_)) => None,
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let Some(store) = self.store.get() else {
            return response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "starting\n".into());
        };
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let format = Format::wanted(accept);
        let state = StoreState {
            size: store.size(),
            limits: store.limits(),
            most_of_a_key: store.most_of_a_key(),
            health: store.health(),
        };
        match self.metrics.text(&state, format) {
            Ok(text) => response(StatusCode::OK, format.content_type(), text),
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "no metrics\n".into()),
        }
    }
}

/// Makes a response. It has its length even if the body is left out for a HEAD.
fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::task::unconstrained;

    use super::*;
    use crate::server::tests::server;

    #[tokio::test]
    async fn a_load_balancer_is_told_when_nobody_should_come() {
        let server = server();
        let http = MetricsHttp::new(Arc::clone(&server.metrics));
        let answer = |path: &str| {
            let answer = http.answer(&Method::GET, path, &HeaderMap::new());
            answer.status().as_u16()
        };
        let all = || ["/livez", "/readyz", "/healthz", "/metrics"].map(answer);
        assert_eq!(all(), [200, 503, 503, 503], "it starts");
        http.ready(&server.store);
        assert_eq!(all(), [200; 4]);
        http.stopping();
        assert_eq!(all(), [200, 503, 503, 200], "it stops");
    }

    /// A runtime of one thread: between two looks every task that is ready has a turn.
    #[tokio::test]
    async fn requests_that_come_together_leave_others_their_turn() {
        const REQUESTS: usize = 200;
        let server = server();
        let http = MetricsHttp::new(Arc::clone(&server.metrics));
        http.ready(&server.store);
        let (mut near, far) = duplex(16 << 20);
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        near.write_all(&request.repeat(REQUESTS)).await.unwrap();
        let (asked, most) = (Cell::new(0), Cell::new(0));
        let bystander = async {
            let mut seen = 0;
            while asked.get() < REQUESTS {
                yield_now().await;
                most.set(most.get().max(asked.get() - seen));
                seen = asked.get();
            }
        };
        let serving = unconstrained(http.serve(far, || asked.set(asked.get() + 1)));
        tokio::select! {
            // In this order, because otherwise one of them could have two turns in a row.
            biased;
            () = serving => panic!("it goes on"),
            () = bystander => {}
        }
        assert_eq!(most.get(), 1);
        assert!(near.read_u8().await.is_ok());
    }
}
