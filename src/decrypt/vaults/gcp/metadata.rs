//! The metadata server of Google's machines, which vouches for what runs on them.

use super::super::identity::{Token, Variables, token};
use super::super::network::{Network, ask, send};
use super::SCOPES;

/// Where it stands, unless `GCE_METADATA_HOST` says otherwise.
const HOST: &str = "169.254.169.254";

fn get(variables: &Variables, network: &Network, path: &str) -> Result<reqwest::RequestBuilder, String> {
    let host = variables.get("GCE_METADATA_HOST").unwrap_or_else(|| HOST.to_owned());
    let url = format!("http://{host}/computeMetadata/v1/{path}");
    Ok(network.near(reqwest::Method::GET, &url)?.header("metadata-flavor", "Google"))
}

/// A token of the machine's, or the pod's, service account.
pub(super) async fn own_token(variables: &Variables, network: &Network) -> Result<Token, String> {
    let path = format!("instance/service-accounts/default/token?scopes={}", SCOPES.join(","));
    let answer = ask(get(variables, network, &path)?, |_| None, &[]).await;
    let nowhere = "set GOOGLE_APPLICATION_CREDENTIALS, or log in with `gcloud auth application-default login`";
    token(answer.map_err(|error| format!("none in the environment ({nowhere}), and the metadata server {error}"))?)
}

/// What workload identity in GKE is about: the audience of a ServiceAccount's token, and that of its exchange.
pub(super) async fn audiences(variables: &Variables, network: &Network) -> Result<(String, String), String> {
    let mut said = Vec::new();
    for path in ["project/project-id", "instance/attributes/cluster-location", "instance/attributes/cluster-name"] {
        let unknown = |why: &str| format!("the metadata server tells no {path}: {why}");
        let answer = send(get(variables, network, path)?).await.map_err(|error| unknown(&error))?;
        if !answer.is_success() {
            return Err(unknown(&answer.refusal("", &[])));
        }
        match answer.text().trim() {
            "" => return Err(unknown("it is empty")),
            text => said.push(text.to_owned()),
        }
    }
    let [project, location, cluster] = said.as_slice() else { return Err(String::new()) };
    let pool = format!("{project}.svc.id.goog");
    let provider = format!("projects/{project}/locations/{location}/clusters/{cluster}");
    let audience = format!("identitynamespace:{pool}:https://container.googleapis.com/v1/{provider}");
    Ok((pool, audience))
}
