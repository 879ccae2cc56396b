//! HTTPS servers in the test that the real API server asks, behind a Service named `operator`. Nobody routes to Services on
//! the testbed, so this one must lead to the test: `type: ExternalName, externalName: localhost`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::testbed::{Testbed, command, run};

/// What the API server asks.
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// Null where there is no JSON.
    pub(crate) body: Value,
}

/// Serves from now on, and tells the port. `answer` gives status and body; who has none hangs up.
pub(crate) fn serve(
    testbed: &Testbed,
    namespace: &str,
    answer: impl Fn(Request) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (config, answer) = (Arc::new(certified(testbed, namespace)), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).expect("a good configuration");
            let answer = answer.clone();
            // Who hangs up says nothing more.
            std::thread::spawn(move || converse(StreamOwned::new(connection, stream), &*answer).ok());
        }
    });
    port
}

fn converse(
    stream: StreamOwned<ServerConnection, TcpStream>,
    answer: &impl Fn(Request) -> Option<(u16, Value)>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    reader.read_line(&mut head)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().split_once(':') {
            Some(("content-length", number)) => length = number.trim().parse().expect("a number"),
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = head.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let Some((status, value)) = answer(Request { method, path, body }) else { return Ok(()) };
    let text = value.to_string();
    let head = format!(
        "HTTP/1.1 {status} It\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let stream = reader.get_mut();
    stream.write_all((head + &text).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A certificate of the testbed's CA for the Service's name.
fn certified(testbed: &Testbed, namespace: &str) -> ServerConfig {
    let [key, certificate] = ["key", "crt"].map(|end| testbed.data().join(format!("operator-{namespace}.{end}")));
    let pki = testbed.ca().parent().expect("a folder").to_owned();
    let script = format!(
        "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out {key:?}
openssl req -new -key {key:?} -subj /CN=operator | openssl x509 -req -CA ca.crt -CAkey ca.key -days 2 \
-set_serial 0x$(openssl rand -hex 8) -extfile <(printf subjectAltName=DNS:operator.{namespace}.svc) -out {certificate:?}"
    );
    run(command(Path::new("bash")).current_dir(pki).args(["-c", &script]));
    let chain = vec![CertificateDer::from_pem_file(&certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.expect("protocols").with_no_client_auth().with_single_cert(chain, key).expect("they fit")
}
