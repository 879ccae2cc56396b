//! HTTP for gix: our own client under its Git protocol.
//!
//! gix's own backend would bring a second client that knows neither our certificates nor our deadlines, sends
//! credentials only after a refusal and never as a bearer token, and asks credential programs. This one sends what it
//! was given with the first request, as Flux does, and nothing once a redirect led to another host or port.
//!
//! gix blocks: each call here waits on the runtime that its thread belongs to.

use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::protocol::transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::source::http::{self, Credentials, HttpError};

/// What all requests of one fetch share.
pub(super) struct Line {
    pub(super) client: reqwest::Client,
    pub(super) credentials: Credentials,
    pub(super) deadline: Instant,
    /// The largest answer that is read.
    pub(super) largest: u64,
    pub(super) interrupt: Arc<AtomicBool>,
    pub(super) runtime: Handle,
    /// The first thing that went wrong: gix's errors do not tell it apart.
    pub(super) failure: Mutex<Option<HttpError>>,
}

impl Line {
    /// Keeps the first failure, and gives gix something to carry.
    fn failed(&self, error: HttpError) -> io::Error {
        let text = error.to_string();
        locked(&self.failure).get_or_insert(error);
        io::Error::other(text)
    }

    fn send(&self, request: reqwest::RequestBuilder) -> io::Result<reqwest::Response> {
        self.runtime.block_on(http::send(request, self.deadline)).map_err(|error| self.failed(error))
    }

    fn chunk(&self, answer: &mut reqwest::Response) -> io::Result<Option<bytes::Bytes>> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        self.runtime.block_on(http::chunk(answer, self.deadline)).map_err(|error| self.failed(error))
    }
}

/// What a panicking thread left is as good as before: only whole values are put there.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The backend of one connection.
pub(super) struct Wire {
    line: Arc<Line>,
    credentials: Credentials,
    redirected: Option<String>,
}

impl Wire {
    pub(super) fn new(line: Arc<Line>) -> Self {
        let credentials = line.credentials.clone();
        Self { line, credentials, redirected: None }
    }

    fn request(
        &self,
        request: reqwest::RequestBuilder,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> reqwest::RequestBuilder {
        let with_headers = headers.into_iter().fold(request, |request, header| {
            let (name, value) = header.as_ref().split_once(':').unwrap_or_default();
            request.header(name.trim(), value.trim())
        });
        self.credentials.sign(with_headers)
    }

    /// Takes in where a redirect led, from now on the address to ask.
    fn follow(&mut self, asked: &str, base: &str, answer: &reqwest::Response) -> io::Result<()> {
        let (Ok(asked_url), reached) = (reqwest::Url::parse(asked), answer.url()) else {
            return Err(self.line.failed(HttpError::Url { url: http::shown(asked) }));
        };
        if asked_url == *reached {
            return Ok(());
        }
        let tail = asked.strip_prefix(base).unwrap_or(asked);
        let Some(base) = reached.as_str().strip_suffix(tail) else {
            let cause = "redirect leads to something that is no Git repository".to_owned();
            return Err(self.line.failed(HttpError::Transport { cause }));
        };
        if asked_url.host_str() != reached.host_str()
            || asked_url.port_or_known_default() != reached.port_or_known_default()
        {
            self.credentials = Credentials::Anonymous;
        }
        self.redirected = Some(base.to_owned());
        Ok(())
    }
}

impl Http for Wire {
    type Headers = Head;
    type ResponseBody = Body;
    type PostBody = Upload;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Head, Body>> {
        let request = self.request(self.line.client.get(url), headers);
        let answer = self.line.send(request).map_err(gix::Error::from_error)?;
        self.follow(url, base_url, &answer).map_err(gix::Error::from_error)?;
        let exchange = Arc::new(Exchange::new(self.line.clone(), Stage::answered(answer)));
        Ok(GetResponse { headers: Head::of(&exchange), body: Body::of(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _kind: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Head, Body, Upload>> {
        let request = self.request(self.line.client.post(url), headers);
        let exchange = Arc::new(Exchange::new(self.line.clone(), Stage::Writing { request, body: Vec::new() }));
        let post_body = Upload { exchange: exchange.clone() };
        Ok(PostResponse { post_body, headers: Head::of(&exchange), body: Body::of(&exchange) })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}

/// One request and its answer. gix holds three ends of it: it writes, then reads the head, then the body.
struct Exchange {
    line: Arc<Line>,
    stage: Mutex<Stage>,
}

enum Stage {
    Writing { request: reqwest::RequestBuilder, body: Vec<u8> },
    Answered { answer: reqwest::Response, read: u64 },
    Over,
}

impl Stage {
    fn answered(answer: reqwest::Response) -> Self {
        Self::Answered { answer, read: 0 }
    }
}

impl Exchange {
    fn new(line: Arc<Line>, stage: Stage) -> Self {
        Self { line, stage: Mutex::new(stage) }
    }

    /// The stage, once the request has been sent.
    fn answered(&self) -> io::Result<MutexGuard<'_, Stage>> {
        let mut stage = locked(&self.stage);
        if let Stage::Writing { .. } = *stage
            && let Stage::Writing { request, body } = std::mem::replace(&mut *stage, Stage::Over)
        {
            *stage = Stage::answered(self.line.send(request.body(body))?);
        }
        Ok(stage)
    }

    /// The head of the answer, a line per header.
    fn head(&self) -> io::Result<Vec<u8>> {
        let stage = self.answered()?;
        let Stage::Answered { answer, .. } = &*stage else {
            return Ok(Vec::new());
        };
        let lines = answer.headers().iter();
        Ok(lines.flat_map(|(name, value)| [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"].concat()).collect())
    }

    fn chunk(&self) -> io::Result<bytes::Bytes> {
        let mut stage = self.answered()?;
        let Stage::Answered { answer, read } = &mut *stage else {
            return Ok(bytes::Bytes::new());
        };
        let Some(chunk) = self.line.chunk(answer)? else {
            *stage = Stage::Over;
            return Ok(bytes::Bytes::new());
        };
        *read += chunk.len() as u64;
        if *read > self.line.largest {
            return Err(self.line.failed(HttpError::TooLarge { limit: self.line.largest }));
        }
        Ok(chunk)
    }
}

/// Where gix writes the body of a request.
pub(super) struct Upload {
    exchange: Arc<Exchange>,
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *locked(&self.exchange.stage) {
            Stage::Writing { body, .. } => body.write(bytes),
            _ => Err(io::Error::other("the request was already sent")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where gix reads the headers of an answer.
pub(super) struct Head {
    exchange: Arc<Exchange>,
    lines: Option<Cursor<Vec<u8>>>,
}

impl Head {
    fn of(exchange: &Arc<Exchange>) -> Self {
        Self { exchange: exchange.clone(), lines: None }
    }
}

impl BufRead for Head {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.lines.is_none() {
            self.lines = Some(Cursor::new(self.exchange.head()?));
        }
        self.lines.as_mut().map_or(Ok(&[]), BufRead::fill_buf)
    }

    fn consume(&mut self, count: usize) {
        if let Some(lines) = &mut self.lines {
            lines.consume(count);
        }
    }
}

impl Read for Head {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// Where gix reads the body of an answer.
pub(super) struct Body {
    exchange: Arc<Exchange>,
    chunk: bytes::Bytes,
}

impl Body {
    fn of(exchange: &Arc<Exchange>) -> Self {
        Self { exchange: exchange.clone(), chunk: bytes::Bytes::new() }
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            self.chunk = self.exchange.chunk()?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        self.chunk = self.chunk.split_off(count.min(self.chunk.len()));
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
