//! Who opens the encrypted files of a Kustomization.

use std::sync::Arc;

use apply::{Cluster, Reference};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::super::{Problem, Stage, World};
use super::Compile;
use crate::decrypt::{Assertion, AzureLogin, Identities, Proof};
use crate::resolve::azure::PodIdentity;
use crate::resolve::service_account_token;

/// What Entra expects in the token of a ServiceAccount.
const AUDIENCE: &str = "api://AzureADTokenExchange";
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";

impl Compile<'_> {
    /// The private keys of `spec.decryption`, or Flux's global ones, and who we are towards key vaults; none without it.
    ///
    /// The Secret's credentials come before a ServiceAccount's identity, the spec's ServiceAccount before the default one,
    /// and that before our own pod's.
    pub(super) async fn identities(&mut self) -> Result<Option<Identities>, Vec<Problem>> {
        let Some(decryption) = &self.job.spec.decryption else { return Ok(None) };
        let (namespace, settings) = (self.job.object.namespace(), &self.world.settings);
        let secret = match (&decryption.secret_ref, &settings.age_secret) {
            (Some(secret), _) => Some(Reference::new("v1", "Secret", namespace, &secret.name)),
            (None, Some(global)) => Some(Reference::new("v1", "Secret", &settings.namespace, global)),
            (None, None) => None,
        };
        let mut identities = match secret {
            None => Identities::default(),
            Some(at) => {
                let found = self.read(&at, Stage::Build).await?;
                let missing = || Problem::general(Stage::Build, format!("decryption secret '{}' not found", at.id()));
                let secret = found.ok_or_else(|| vec![missing()])?;
                let is_global = decryption.secret_ref.is_none();
                let read = if is_global { Identities::from_age_secret } else { Identities::from_secret };
                read(&secret).map_err(|error| vec![Problem::general(Stage::Build, error.to_string())])?
            }
        };
        let account = decryption.service_account_name.as_ref().or(settings.default_decryption_service_account.as_ref());
        let azure = match account {
            _ if identities.has_azure_login() => None,
            Some(account) => Some(self.account(namespace, account).await?),
            None => pod(&self.world.pod),
        };
        identities.reach_vaults(self.world.http.clone(), Handle::current(), azure);
        Ok(Some(identities))
    }

    /// The application that a ServiceAccount's annotations name, as Azure's workload identity has them.
    async fn account(&mut self, namespace: &str, name: &str) -> Result<AzureLogin, Vec<Problem>> {
        let at = Reference::new("v1", "ServiceAccount", namespace, name);
        let missing = || Problem::general(Stage::Build, format!("decryption service account '{}' not found", at.id()));
        let found = self.read(&at, Stage::Build).await?.ok_or_else(|| vec![missing()])?;
        let annotated = |key: &str| found.annotation(key).filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        let tenant = annotated(TENANT).or_else(|| self.world.pod.tenant_id.clone());
        let (Some(client), Some(tenant)) = (annotated(CLIENT), tenant) else {
            // An error only when a file needs it.
            let problem = format!("{} has no annotations {CLIENT} and {TENANT}", at.id());
            let proof = Proof::Assertion(Arc::new(move || {
                let problem = problem.clone();
                Box::pin(async move { Err(problem) })
            }));
            return Ok(AzureLogin { authority: String::new(), tenant: String::new(), client: String::new(), proof });
        };
        let proof = Proof::Assertion(assertion(self.world, namespace, name));
        Ok(AzureLogin { authority: String::new(), tenant, client, proof })
    }
}

fn assertion(world: &World, namespace: &str, name: &str) -> Assertion {
    let (cluster, namespace, name) = (world.cluster.clone(), namespace.to_owned(), name.to_owned());
    Arc::new(move || {
        let (cluster, namespace, name): (Arc<dyn Cluster>, _, _) = (cluster.clone(), namespace.clone(), name.clone());
        Box::pin(async move {
            let token = service_account_token(&cluster, &namespace, &name, &[AUDIENCE.to_owned()]).await;
            token.map(Zeroizing::new).map_err(|error| error.to_string())
        })
    })
}

/// What Azure's webhook gave to our own pod.
fn pod(pod: &PodIdentity) -> Option<AzureLogin> {
    let (tenant, client) = (pod.tenant_id.clone()?, pod.client_id.clone()?);
    Some(AzureLogin { authority: String::new(), tenant, client, proof: Proof::File(pod.token_file.clone()?) })
}
