//! Everything that is written to a namespace, in the order in which it was: read from the database itself, which keeps
//! every write under its number. Kills of the API server and of the database leave no gap, as they do in a watch.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::rules::{Event, Key, Objects, Rules};
use crate::testbed::Testbed;

/// Flags by which the API server writes what can be read here, and leaves its history alone.
pub const APISERVER: &str = "--storage-media-type=application/json --etcd-compaction-interval=0";

/// A record that goes on as long as it lives.
pub struct Ledger {
    /// The database's address.
    database: String,
    shared: Arc<(Mutex<Page>, Condvar)>,
    runtime: tokio::runtime::Runtime,
}

/// What is known now.
pub struct Page {
    pub objects: Objects,
    /// Broken rules, as they were seen.
    pub breaches: Vec<String>,
    pub rules: Rules,
    /// How many writes were seen.
    pub writes: u64,
    revision: i64,
}

impl Ledger {
    pub fn start(testbed: &Testbed, namespace: &str, rules: Rules) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let api: u16 = testbed.value("TESTBED_API").rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
        let database = format!("http://127.0.0.1:{}", api + 1);
        let page = Page { objects: Objects::new(), breaches: Vec::new(), rules, writes: 0, revision: 0 };
        let shared = Arc::new((Mutex::new(page), Condvar::new()));
        runtime.spawn(follow(database.clone(), namespace.to_owned(), shared.clone()));
        Self { database, shared, runtime }
    }

    pub fn page(&self) -> MutexGuard<'_, Page> {
        self.shared.0.lock().expect("nobody panics while holding it")
    }

    /// Waits for the next write, not longer than `patience`.
    pub fn wait(&self, patience: Duration) {
        let page = self.page();
        drop(self.shared.1.wait_timeout(page, patience).expect("nobody panics while holding it"));
    }

    /// Asks the database something: a path of its gateway, and a body.
    pub fn ask(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.database);
        let answer = async {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            client.post(url).json(body).send().await.expect("it answers").json().await.expect("in JSON")
        };
        self.runtime.block_on(answer)
    }
}

impl Page {
    /// The number of the last write of all.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Takes up one event of the database's.
    fn take(&mut self, namespace: &str, event: &Value) {
        let text = |at: &str| {
            let bytes = event.pointer(at).and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
            String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
        };
        let Some(key) = key(&text("/kv/key"), namespace) else { return };
        let after = (event["type"] != "DELETE").then(|| serde_json::from_str(&text("/kv/value")).unwrap_or_default());
        let before = match &after {
            Some(value) => self.objects.insert(key.clone(), Value::clone(value)),
            None => self.objects.remove(&key),
        };
        self.writes += 1;
        let event = Event { key: &key, before: before.as_ref(), after: after.as_ref() };
        let found = self.rules.observe(&event, &self.objects);
        let revision = self.revision;
        self.breaches.extend(found.into_iter().map(|breach| {
            println!("  BREACH at revision {revision}: {breach}");
            breach
        }));
    }
}

/// `/registry[/GROUP]/RESOURCE[/specs]/NAMESPACE/NAME`.
fn key(path: &str, namespace: &str) -> Option<Key> {
    let parts: Vec<&str> = path.strip_prefix("/registry/")?.split('/').filter(|part| *part != "specs").collect();
    let [.., resource, at, name] = parts.as_slice() else { return None };
    (*at == namespace).then(|| ((*resource).to_owned(), (*name).to_owned()))
}

async fn follow(database: String, namespace: String, shared: Arc<(Mutex<Page>, Condvar)>) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    loop {
        let from = shared.0.lock().expect("nobody panics while holding it").revision + 1;
        let range =
            [("key", "/registry/"), ("range_end", "/registry0")].map(|(name, key)| (name, STANDARD.encode(key)));
        let mut request = json!({ "create_request": { "start_revision": from.to_string() } });
        for (name, key) in range {
            request["create_request"][name] = key.into();
        }
        if let Ok(answer) = client.post(format!("{database}/v3/watch")).json(&request).send().await {
            read(answer, &namespace, &shared).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads one line of JSON after the other, until the database is gone.
async fn read(answer: reqwest::Response, namespace: &str, shared: &(Mutex<Page>, Condvar)) {
    let mut stream = answer.bytes_stream();
    let mut rest = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Ok(line) = serde_json::from_slice::<Value>(&line) else { return };
            let mut page = shared.0.lock().expect("nobody panics while holding it");
            if line.pointer("/result/compact_revision").is_some() {
                page.breaches.push("the ledger has a gap: the history was compacted before it was read".into());
            }
            for event in line.pointer("/result/events").and_then(Value::as_array).into_iter().flatten() {
                let number = event.pointer("/kv/mod_revision").and_then(Value::as_str).unwrap_or_default();
                page.revision = number.parse().expect("a number");
                page.take(namespace, event);
            }
            drop(page);
            shared.1.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_database_tell_resource_and_name() {
        let known = |path| key(path, "apps");
        let pair = |resource: &str, name: &str| Some((resource.to_owned(), name.to_owned()));
        assert_eq!(known("/registry/deployments/apps/web"), pair("deployments", "web"));
        assert_eq!(known("/registry/services/specs/apps/web"), pair("services", "web"));
        assert_eq!(known("/registry/external-secrets.io/externalsecrets/apps/a"), pair("externalsecrets", "a"));
        assert_eq!(known("/registry/deployments/other/web"), None);
        assert_eq!(known("/registry/namespaces/apps"), None);
    }
}
