//! Key vaults as the user meets them: credentials from the environment, a runtime only when a file needs one.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;

use sops::{KeyProblem, MasterKey, Service, Wrapped};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::decrypt::{Credentials, Variables, Vaults};
use crate::source::http;

/// Connects when it is first asked.
#[derive(Default)]
pub(super) struct OnDemand(OnceLock<Result<Line, String>>);

struct Line {
    /// Outlives what runs on it.
    _runtime: Runtime,
    vaults: Vaults,
}

impl OnDemand {
    fn vaults(&self) -> Result<&Vaults, String> {
        self.0.get_or_init(connect).as_ref().map(|line| &line.vaults).map_err(Clone::clone)
    }
}

impl Service for OnDemand {
    fn unwrap(&self, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
        self.vaults().map_err(KeyProblem::Service)?.unwrap(key)
    }

    fn wrap(&self, key: &MasterKey, part: &[u8]) -> Result<Wrapped, String> {
        self.vaults()?.wrap(key, part)
    }
}

fn connect() -> Result<Line, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let file = env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    let authorities = file.map(|file| std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display())));
    let options =
        http::Options { refuses_redirects: true, authorities: authorities.transpose()?, ..Default::default() };
    let client = http::client(&options).map_err(|error| error.to_string())?;
    let credentials = Credentials::of_environment(&Variables::of_process());
    let vaults = Vaults::new(client, runtime.handle().clone(), credentials);
    Ok(Line { _runtime: runtime, vaults })
}
