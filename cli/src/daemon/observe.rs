//! `/metrics` and `/healthz`: just enough HTTP for a scraper and a load balancer, on a listener of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use crate::store::Store;

/// Requests answered at a time.
const AT_ONCE: usize = 16;
/// Time for one request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// The longest request head worth reading.
const MAX_HEAD: usize = 8 * 1024;

/// Answers for ever.
pub async fn observe<S: Store>(listener: TcpListener, metrics: Arc<Metrics>, store: Arc<S>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(super::ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (metrics, store) = (Arc::clone(&metrics), Arc::clone(&store));
        tokio::spawn(async move {
            // A scraper that does not take its answer comes again.
            let _ = timeout(REQUEST_TIME, answer(stream, &metrics, &*store)).await;
            drop(place);
        });
    }
}

async fn answer<S: Store>(
    mut stream: TcpStream,
    metrics: &Metrics,
    store: &S,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, kind, body) = match line {
        [b'G', b'E', b'T', b' ', rest @ ..] => match rest.split(|byte| *byte == b' ').next() {
            Some(b"/metrics") => match metrics.text(store.size()) {
                Ok(text) => {
                    ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
                }
                Err(_) => ("500 Internal Server Error", "text/plain", "no metrics\n".into()),
            },
            Some(b"/healthz") => ("200 OK", "text/plain", "ok\n".into()),
            _ => ("404 Not Found", "text/plain", "/metrics or /healthz\n".into()),
        },
        _ => ("405 Method Not Allowed", "text/plain", "GET only\n".into()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
