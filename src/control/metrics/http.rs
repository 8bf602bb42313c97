//! The page over HTTP: one thread, one short request at a time. Meant for loopback or a trusted
//! network; there is nothing to see but counters.

use crate::control::command::{Answer, Command};
use crate::control::daemon::ControlHandle;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request's head in bytes at most.
const HEAD_MAX: usize = 8 << 10;
/// How long a client may take to send it, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after a failed accept until the next, and how often the end is looked for.
const LOOK: Duration = Duration::from_millis(50);

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    address: SocketAddr,
}

impl MetricsServer {
    /// # Errors
    /// The address cannot be had, or there is no thread.
    pub fn start(at: SocketAddr, control: ControlHandle) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let ends = stop.clone();
        let thread = std::thread::Builder::new()
            .name("umpio-metrics".to_owned())
            .spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    match listener.accept() {
                        // A client that misbehaves is its own problem.
                        Ok((stream, _)) => drop(serve(stream, &control)),
                        Err(_) => std::thread::sleep(LOOK),
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread of the metrics panicked");
        }
    }
}

fn serve(mut stream: TcpStream, control: &ControlHandle) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut piece)?;
        head.extend_from_slice(&piece[..n]);
        if n == 0 || head.len() > HEAD_MAX {
            return answer(
                &mut stream,
                "400 Bad Request",
                "text/plain",
                "no request\n",
                true,
            );
        }
    }
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let body = method != "HEAD";
    if method != "GET" && method != "HEAD" {
        return answer(
            &mut stream,
            "405 Method Not Allowed",
            "text/plain",
            "GET only\n",
            true,
        );
    }
    if !matches!(path.split('?').next(), Some("/metrics" | "/")) {
        return answer(
            &mut stream,
            "404 Not Found",
            "text/plain",
            "it is at /metrics\n",
            body,
        );
    }
    match control.run(Command::Metrics) {
        Ok(Answer::Text(text)) => answer(&mut stream, "200 OK", TYPE, &text, body),
        Ok(_) => answer(
            &mut stream,
            "500 Internal Server Error",
            "text/plain",
            "no text\n",
            body,
        ),
        Err(e) => answer(
            &mut stream,
            "503 Service Unavailable",
            "text/plain",
            &format!("{e}\n"),
            body,
        ),
    }
}

fn answer(
    stream: &mut TcpStream,
    status: &str,
    kind: &str,
    text: &str,
    body: bool,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    if body {
        stream.write_all(text.as_bytes())?;
    }
    stream.flush()
}
