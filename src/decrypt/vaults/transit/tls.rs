//! How Vault's servers are reached, as its own client reads it from the environment.

use std::path::Path;

use zeroize::Zeroizing;

use super::super::identity::Variables;
use super::super::network::only;

/// A client of its own; none where the environment says nothing about Vault's servers.
pub(super) fn client(variables: &Variables) -> Result<Option<reqwest::Client>, String> {
    if variables.get("VAULT_TLS_SERVER_NAME").is_some() {
        return Err("VAULT_TLS_SERVER_NAME is not supported".to_owned());
    }
    let authorities = authorities(variables)?;
    let (certificate, key) = (variables.get("VAULT_CLIENT_CERT"), variables.get("VAULT_CLIENT_KEY"));
    let proxy = variables.any(&["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY"]);
    let is_unchecked = is_on(variables, "VAULT_SKIP_VERIFY")?;
    if authorities.is_none() && certificate.is_none() && key.is_none() && proxy.is_none() && !is_unchecked {
        return Ok(None);
    }
    let mut builder = match authorities {
        Some((name, pem)) => only(&pem).map_err(|problem| format!("{name}: {problem}"))?,
        None => reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()),
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let both = [read(&certificate)?.as_slice(), b"\n", read(&key)?.as_slice()].concat();
            let both = Zeroizing::new(both);
            let identity = reqwest::Identity::from_pem(&both);
            builder =
                builder.identity(identity.map_err(|_| format!("{certificate}, {key}: no certificate with its key"))?);
        }
        (None, None) => {}
        _ => return Err("VAULT_CLIENT_CERT and VAULT_CLIENT_KEY belong together".to_owned()),
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| "VAULT_PROXY_ADDR is no address of a proxy")?);
    }
    builder = builder.tls_danger_accept_invalid_certs(is_unchecked);
    builder.build().map(Some).map_err(|_| "no client for Vault can be made of its variables".to_owned())
}

/// The only authorities that count: of a file, of the variable itself, of all files of a folder.
fn authorities(variables: &Variables) -> Result<Option<(&'static str, Vec<u8>)>, String> {
    if let Some(file) = variables.get("VAULT_CACERT") {
        return Ok(Some(("VAULT_CACERT", read(&file)?.to_vec())));
    }
    if let Some(text) = variables.get("VAULT_CACERT_BYTES") {
        return Ok(Some(("VAULT_CACERT_BYTES", text.into_bytes())));
    }
    let Some(folder) = variables.get("VAULT_CAPATH") else { return Ok(None) };
    let told = |error: std::io::Error| format!("VAULT_CAPATH: {folder}: {error}");
    let mut all = Vec::new();
    for entry in Path::new(&folder).read_dir().map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.is_file() {
            all.extend(std::fs::read(&path).map_err(told)?);
            all.push(b'\n');
        }
    }
    Ok(Some(("VAULT_CAPATH", all)))
}

fn read(path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    std::fs::read(path).map(Zeroizing::new).map_err(|error| format!("{path}: {error}"))
}

/// A switch, in the words that Go takes.
fn is_on(variables: &Variables, name: &str) -> Result<bool, String> {
    match variables.get(name).as_deref() {
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(_) => Err(format!("{name} is neither true nor false")),
    }
}
