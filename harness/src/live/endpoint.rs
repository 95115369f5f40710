//! Where Prometheus scrapes a run: `GET /metrics` on an address that the user names.
//!
//! Enough of HTTP/1.1 for that and no more: one request a connection, within a time and a size. Nobody is asked who they
//! are, so that whoever reaches the address reads it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::exposition::CONTENT_TYPE;
use super::metrics::RunMetrics;
use crate::failure::Failure;

/// Limit for a request and its answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Most bytes of a request.
const MOST_REQUEST: usize = 8192;

/// An address that is listened on, before anything is told there.
pub struct MetricsListener(std::net::TcpListener);

impl MetricsListener {
    /// Listens on `HOST:PORT`.
    ///
    /// # Errors
    /// A usage failure when that is not to be had.
    pub fn bind(address: &str) -> Result<Self, Failure> {
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        bound.map(Self).map_err(|error| {
            Failure::usage(format!("--metrics-addr {address}: {error}"))
                .with_cure("an address of this machine, and a port that nobody listens on")
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A run that is told. Dropped, it is told no more.
pub(crate) struct MetricsEndpoint {
    metrics: Arc<Mutex<RunMetrics>>,
    task: JoinHandle<()>,
}

impl MetricsEndpoint {
    /// Tells a run to whoever asks. Needs a runtime.
    ///
    /// # Errors
    /// An infrastructure failure when the runtime does not take the listener.
    pub(crate) fn start(listener: MetricsListener, metrics: RunMetrics) -> Result<Self, Failure> {
        let listener = TcpListener::from_std(listener.0)
            .map_err(|error| Failure::infrastructure(format!("metrics cannot be told: {error}")))?;
        let metrics = Arc::new(Mutex::new(metrics));
        let task = tokio::spawn(accept(listener, Arc::clone(&metrics)));
        Ok(Self { metrics, task })
    }

    /// What is told.
    pub(crate) fn change(&self, change: impl FnOnce(&mut RunMetrics)) {
        change(&mut self.metrics.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for MetricsEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, metrics: Arc<Mutex<RunMetrics>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = Arc::clone(&metrics);
                // Whoever asks and does not listen is none of our business.
                tokio::spawn(async move { drop(timeout(LIMIT, answer(stream, &metrics)).await) });
            }
            // Without descriptors none is to be had at once.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Mutex<RunMetrics>) -> io::Result<()> {
    let mut request = vec![];
    let is_whole = |request: &[u8]| request.windows(4).any(|end| end == b"\r\n\r\n");
    while !is_whole(&request) {
        if request.len() > MOST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return respond(&mut stream, "400 Bad Request", "not a request\n").await;
        }
    }
    let line = String::from_utf8_lossy(&request);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => {
            let text = metrics.lock().unwrap_or_else(PoisonError::into_inner).text();
            respond(&mut stream, "200 OK", &text).await
        }
        ("GET", _) => respond(&mut stream, "404 Not Found", "kbench tells /metrics\n").await,
        _ => respond(&mut stream, "405 Method Not Allowed", "GET /metrics\n").await,
    }
}

async fn respond(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use results::record::event::{EventKind, Second, Stage};

    use super::super::metrics::tests::{event, parse, value};
    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn a_run_is_scraped_while_it_goes_on() {
        let listener = MetricsListener::bind("127.0.0.1:0").unwrap();
        let address = listener.address().unwrap();
        // Somebody else listens there now.
        let taken = MetricsListener::bind(&address.to_string()).map(|_| ()).unwrap_err();
        assert!(taken.text().starts_with(&format!("--metrics-addr {address}")));
        let endpoint =
            MetricsEndpoint::start(listener, RunMetrics::new("r", "w", "none", true)).unwrap();
        let get = "GET /metrics HTTP/1.1\r\nHost: kbench\r\n\r\n";
        let (head, body) = ask(address, get).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(CONTENT_TYPE), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert_eq!(parse(&body).len(), 1);
        for acked in [100, 150] {
            endpoint.change(|run| {
                run.take(1, &event(EventKind::Stage { stage: Stage::Faults }));
                run.take(1, &event(EventKind::Second(Second { acked, ..Second::default() })));
            });
            let (_, body) = ask(address, get).await;
            let (samples, labels) = (parse(&body), [("what", "acked")]);
            assert_eq!(value(&samples, "kbench_records_per_second", &labels), Some(acked as f64));
        }
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (&*format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)), "400"),
        ] {
            assert!(ask(address, request).await.0.contains(status), "{status}");
        }
        assert!(MetricsListener::bind("nowhere").map(|_| ()).is_err());
        drop(endpoint);
        tokio::task::yield_now().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
