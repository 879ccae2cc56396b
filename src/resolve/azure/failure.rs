//! What an answer of Key Vault or Entra, or the lack of one, means.

use std::error::Error as _;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{RawResponse, StatusCode};
use serde_json::Value;

use crate::resolve::store::Cause;

/// A server's words are kept up to here: a caller's name and a rule, never a value.
const MESSAGE_LIMIT: usize = 400;

/// The cause behind an error of the Azure SDK.
pub(super) fn cause(error: &azure_core::Error) -> Cause {
    if let Some(cause) = carried(error) {
        return cause;
    }
    let token = matches!(error.kind(), ErrorKind::Credential);
    match response(error) {
        Some((status, response)) if token => entra(status, response),
        Some((status, response)) => vault(status, response),
        None => other(error),
    }
}

/// A cause of ours that went through the SDK as the source of its error.
fn carried(error: &azure_core::Error) -> Option<Cause> {
    chain(error).find_map(|source| source.downcast_ref::<Cause>()).cloned()
}

fn chain(error: &azure_core::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let source = next?;
        next = source.source();
        Some(source)
    })
}

/// The answer that the error, or one behind it, holds.
fn response(error: &azure_core::Error) -> Option<(StatusCode, Option<&RawResponse>)> {
    let behind = chain(error).filter_map(|source| source.downcast_ref::<azure_core::Error>());
    std::iter::once(error).chain(behind).find_map(|error| match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => Some((*status, raw_response.as_deref())),
        _ => None,
    })
}

/// No answer was had, or it could not be read.
fn other(error: &azure_core::Error) -> Cause {
    let innermost = chain(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    match error.kind() {
        ErrorKind::Connection => Cause::Unreachable { message: shortened(&innermost) },
        ErrorKind::Credential if connection(error) => Cause::Unreachable { message: shortened(&innermost) },
        ErrorKind::Credential => Cause::NoToken { message: shortened(&innermost) },
        // The SDK's own check that a challenge names the vault's domain; the token stayed here.
        ErrorKind::Other => Cause::Denied { message: shortened(&error.to_string()) },
        _ => Cause::Unavailable { message: shortened(&innermost) },
    }
}

fn connection(error: &azure_core::Error) -> bool {
    let mut behind = chain(error).filter_map(|source| source.downcast_ref::<azure_core::Error>());
    behind.any(|error| matches!(error.kind(), ErrorKind::Connection | ErrorKind::Io))
}

/// An answer of the vault that is no success.
fn vault(status: StatusCode, response: Option<&RawResponse>) -> Cause {
    let said = Said::read(response);
    match u16::from(status) {
        404 if said.code.ends_with("NotFound") => Cause::NotFound,
        403 if said.inner.ends_with("Disabled") => Cause::Disabled,
        401 => Cause::NoToken { message: said.message },
        403 => Cause::Denied { message: said.message },
        429 => Cause::Throttled { retry_after: response.and_then(|response| retry_after(response.headers())) },
        400 => Cause::Spec { message: said.message },
        number => Cause::Unavailable { message: format!("answered {number} {}", said.message).trim_end().to_owned() },
    }
}

/// An answer of the token issuer that is no success.
fn entra(status: StatusCode, response: Option<&RawResponse>) -> Cause {
    match u16::from(status) {
        429 => Cause::Throttled { retry_after: response.and_then(|response| retry_after(response.headers())) },
        number @ (408 | 500..=599) => Cause::Unavailable { message: format!("the token issuer answered {number}") },
        _ => Cause::NoToken { message: Said::read(response).message },
    }
}

/// What the body of a failure says.
#[derive(Default)]
struct Said {
    code: String,
    inner: String,
    message: String,
}

impl Said {
    fn read(response: Option<&RawResponse>) -> Self {
        let body =
            response.and_then(|response| serde_json::from_slice::<Value>(response.body()).ok()).unwrap_or_default();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = [text("/error/message"), text("/error_description")].concat();
        Self { code: text("/error/code"), inner: text("/error/innererror/code"), message: shortened(&message) }
    }
}

/// How long a server asks to be left alone: milliseconds, or seconds. A date is not understood: the caller's own
/// backoff holds then.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name))?.trim().parse().ok();
    let milliseconds = ["retry-after-ms", "x-ms-retry-after-ms"].into_iter().find_map(number);
    milliseconds.map(Duration::from_millis).or_else(|| number("retry-after").map(Duration::from_secs))
}

/// The first line of a message, not too long.
fn shortened(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    line[..line.floor_char_boundary(MESSAGE_LIMIT)].to_owned()
}
