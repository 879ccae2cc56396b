//! How vaults and issuers of tokens are asked: within a time, up to a size, and told without what was sent.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::Value;
use zeroize::Zeroizing;

/// How long a vault may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a service of the machine itself may take: where there is none, nobody answers at all.
const NEAR: Duration = Duration::from_secs(3);
/// How often a server that is overloaded is asked in all, and the pause before the second time; each further one is twice
/// as long.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A server that wants to be left alone for longer is not asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An answer holds a key, or why there is none.
pub(super) const LARGEST: usize = 64 << 10;
/// A server's words are kept up to here.
const LONGEST_MESSAGE: usize = 400;
/// What was sent and is shorter than this is no secret.
const SHORTEST_SECRET: usize = 8;

/// What requests go through.
pub(super) struct Network {
    /// To everywhere; follows no redirect.
    pub(super) http: reqwest::Client,
    near: OnceLock<Option<reqwest::Client>>,
}

impl Network {
    pub(super) fn new(http: reqwest::Client) -> Self {
        Self { http, near: OnceLock::new() }
    }

    /// A request to a service of the machine itself: metadata, tokens. In the clear, and never through a proxy.
    pub(super) fn near(&self, method: reqwest::Method, url: &str) -> Result<reqwest::RequestBuilder, String> {
        let make = || {
            let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
            client.redirect(reqwest::redirect::Policy::none()).build().ok()
        };
        let client = self.near.get_or_init(make).as_ref().ok_or("no HTTP client can be made")?;
        let url = reqwest::Url::parse(url).map_err(|_| format!("{url} is no URL"))?;
        Ok(client.request(method, url).timeout(NEAR))
    }
}

/// What trusts authorities (PEM), and no others.
pub(super) fn only(pem: &[u8]) -> Result<reqwest::ClientBuilder, String> {
    let all = reqwest::Certificate::from_pem_bundle(pem).ok().filter(|all| !all.is_empty());
    let all = all.ok_or("no certificates in PEM")?;
    Ok(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).tls_certs_only(all))
}

/// What a server said.
pub(super) struct Answer {
    status: StatusCode,
    /// How long it wants to be left alone.
    after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// As JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// As text.
    #[cfg_attr(
        not(any(feature = "aws-kms", feature = "gcp-kms")),
        expect(dead_code, reason = "Azure and Vault answer in JSON alone")
    )]
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// How long to wait before the same is asked once more; `None` where that would change nothing. Amazon says that it is
    /// overloaded as if the request were wrong.
    fn pause(&self, attempt: u32) -> Option<Duration> {
        const THROTTLED: &[u8] = b"ThrottlingException";
        let is_busy = match self.status.as_u16() {
            429 | 500 | 502..=504 => true,
            400 => self.body.windows(THROTTLED.len()).any(|part| part == THROTTLED),
            _ => false,
        };
        let pause = self.after.unwrap_or_default().max(FIRST_PAUSE * 2_u32.pow(attempt));
        (is_busy && attempt + 1 < ATTEMPTS && pause <= LONGEST_PAUSE).then_some(pause)
    }

    /// The status and the first line of what the server said, without what was sent.
    pub(super) fn refusal(&self, message: &str, sent: &[&str]) -> String {
        let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let secrets = sent.iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
        let line = secrets.fold(line.to_owned(), |line, secret| line.replace(secret, "***"));
        let line = &line[..line.floor_char_boundary(LONGEST_MESSAGE)];
        format!("answered {}{}{line}", self.status, if line.is_empty() { "" } else { ": " })
    }
}

/// Sends a request, and reads its answer. One that says that the server is overloaded, or out of order for a moment, is not
/// the last: nothing that is asked here is done twice by being asked twice.
pub(super) async fn send(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let (client, request) = request.build_split();
    let mut request = request.map_err(|error| unreachable(&error.without_url()))?;
    request.timeout_mut().get_or_insert(PATIENCE);
    let mut attempt = 0;
    loop {
        let again = request.try_clone();
        let answer = execute(&client, request).await?;
        let (Some(pause), Some(again)) = (answer.pause(attempt), again) else { return Ok(answer) };
        tokio::time::sleep(pause).await;
        (request, attempt) = (again, attempt + 1);
    }
}

async fn execute(client: &reqwest::Client, request: reqwest::Request) -> Result<Answer, String> {
    let told = |error: reqwest::Error| unreachable(&error.without_url());
    let mut answer = client.execute(request).await.map_err(told)?;
    let status = answer.status();
    let after = answer.headers().get("retry-after").and_then(|header| header.to_str().ok()?.parse().ok());
    let after = after.map(Duration::from_secs);
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST));
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("answered {status} with more than {LARGEST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, after, body })
}

fn unreachable(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        reason = deeper.to_string();
        source = deeper.source();
    }
    format!("no answer: {reason}")
}

/// Sends one request, and reads its answer as JSON; of a refusal, what `told` finds in it, without the secrets that were
/// sent.
pub(super) async fn ask(
    request: reqwest::RequestBuilder,
    told: fn(&Value) -> Option<String>,
    sent: &[&str],
) -> Result<Value, String> {
    let answer = send(request).await?;
    let body = answer.json();
    if answer.is_success() { Ok(body) } else { Err(answer.refusal(&told(&body).unwrap_or_default(), sent)) }
}

/// A text that an answer must hold.
pub(super) fn text(value: &mut Value, who: &str, what: &str) -> Result<Zeroizing<String>, String> {
    match value.take() {
        Value::String(text) if !text.is_empty() => Ok(Zeroizing::new(text)),
        _ => Err(format!("{who} answered without {what}")),
    }
}

/// The key that such a text is.
pub(super) fn key(text: &Zeroizing<String>, who: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    STANDARD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| format!("{who} answered no key"))
}

/// A form, as issuers of tokens take it.
pub(super) fn form(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let mut encoded = Zeroizing::new(String::new());
    for (name, value) in fields {
        let separator = if encoded.is_empty() { "" } else { "&" };
        let parts = [separator, &escaped(name), "=", &escaped(value)].concat();
        encoded.push_str(&parts);
    }
    request.header("content-type", "application/x-www-form-urlencoded").body(encoded.as_bytes().to_vec())
}

/// Everything but the unreserved characters as `%XX`.
pub(super) fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The address of a server that gives one answer to each request, and then none.
    async fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            let (_open, _) = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
        });
        address
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn told(body: &Value) -> Option<String> {
        body["message"].as_str().map(ToOwned::to_owned)
    }

    async fn refusal(body: &str, sent: &[&str]) -> String {
        let url = server(vec![answer("403 Forbidden", body)]).await;
        ask(reqwest::Client::new().get(url), told, sent).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_answer_is_not_waited_for() {
        let url = server(Vec::new()).await;
        let error = send(reqwest::Client::new().get(&url)).await.err().unwrap();
        assert!(error.starts_with("no answer: ") && !error.contains(&url), "{error}");
        let network = Network::new(reqwest::Client::new());
        let url = server(Vec::new()).await;
        let error = send(network.near(reqwest::Method::GET, &url).unwrap()).await.err().unwrap();
        assert!(error.starts_with("no answer: "), "{error}");
    }

    #[tokio::test]
    async fn whoever_is_overloaded_is_asked_again() {
        let throttled = answer("400 Bad Request", r#"{"__type": "ThrottlingException"}"#);
        let url = server(vec![throttled, answer("200 OK", "key")]).await;
        let answer = send(reqwest::Client::new().post(url).body("key")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, b"key".as_slice()));
    }

    #[test]
    fn whoever_is_overloaded_is_not_asked_for_ever() {
        let pauses = |status: u16, after: Option<u64>, body: &str| {
            let (after, body) = (after.map(Duration::from_secs), Zeroizing::new(body.into()));
            let answer = Answer { status: StatusCode::from_u16(status).unwrap(), after, body };
            [0, 1, 2].map(|attempt| answer.pause(attempt).map(|pause| pause.as_millis()))
        };
        let (usual, never) = ([Some(500), Some(1000), None], [None; 3]);
        assert_eq!(pauses(503, None, ""), usual);
        assert_eq!(pauses(400, None, r#"{"__type": "com.amazonaws.kms#ThrottlingException"}"#), usual);
        assert_eq!(pauses(429, Some(3), ""), [Some(3000), Some(3000), None]);
        assert_eq!(pauses(429, Some(60), ""), never);
        assert_eq!([200, 400, 403, 404, 501].map(|status| pauses(status, None, "")), [never; 5]);
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_servers_words_without_what_was_sent() {
        let said =
            refusal(r#"{"message": "\n token canary-4f1d9c is wrong\nand more"}"#, &["canary-4f1d9c", "is"]).await;
        assert_eq!(said, "answered 403 Forbidden:  token *** is wrong");
        assert_eq!(refusal("canary-4f1d9c", &[]).await, "answered 403 Forbidden");
        let long = refusal(&format!(r#"{{"message": "{}"}}"#, "ä".repeat(4000)), &[]).await;
        assert!(long.len() < LONGEST_MESSAGE + 50, "{}", long.len());
        let endless = refusal(&"x".repeat(LARGEST + 1), &[]).await;
        assert_eq!(endless, format!("answered 403 Forbidden with more than {LARGEST} bytes"));
    }
}
