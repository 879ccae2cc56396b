//! Who opens the encrypted files of a Kustomization.

use std::collections::BTreeMap;
use std::sync::Arc;

use apply::{Cluster, Reference};
use serde_json::Value;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::super::{Problem, Stage, World};
use super::Compile;
use crate::decrypt::{Account, Credentials, Identities, Issue, Logins, TransitLogin, Variables};
use crate::resolve::service_account_token;

impl Compile<'_> {
    /// The private keys of `spec.decryption`, or Flux's global ones, and who we are towards key vaults; none without it.
    ///
    /// The Secret's credentials come before a ServiceAccount's identity, the spec's ServiceAccount before the default one,
    /// and that before our own pod's.
    pub(super) async fn identities(&mut self) -> Result<Option<Identities>, Vec<Problem>> {
        let Some(decryption) = &self.job.spec.decryption else { return Ok(None) };
        let (namespace, settings) = (self.job.object.namespace(), &self.world.settings);
        let variables = settings.variables.clone().unwrap_or_default();
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
                read(&secret, &variables).map_err(|error| vec![Problem::general(Stage::Build, error.to_string())])?
            }
        };
        let named = decryption.service_account_name.as_ref().or(settings.default_decryption_service_account.as_ref());
        let named = named.cloned();
        let account = match &named {
            Some(name) => Some(self.account(namespace, name).await?),
            None => None,
        };
        let mut others = match &account {
            Some(account) => Credentials::of_account(account, &variables),
            None => Credentials::default(),
        };
        others.transit = self.transit(account, &variables).await?;
        // Clouds are asked as the ServiceAccount alone, once there is one.
        let pod = self.world.clouds.clone();
        let others = if named.is_some() {
            Credentials { transit: others.transit.or(pod.transit), ..others }
        } else {
            others.or(pod)
        };
        identities.reach_vaults(self.world.http.clone(), Handle::current(), others);
        Ok(Some(identities))
    }

    /// A ServiceAccount, as which clouds are asked. That it is missing is an error only when a file needs it.
    async fn account(&mut self, namespace: &str, name: &str) -> Result<Account, Vec<Problem>> {
        let at = Reference::new("v1", "ServiceAccount", namespace, name);
        let found = self.read(&at, Stage::Build).await?;
        let annotations = found.ok_or_else(|| format!("decryption service account '{}' not found", at.id()));
        let annotations = annotations.map(|found| {
            let all = found.value().pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
            all.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect()
        });
        Ok(Account { annotations, ..self.bare(namespace, name) })
    }

    fn bare(&self, namespace: &str, name: &str) -> Account {
        let issue = issue(self.world, namespace, name);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Account { namespace, name, annotations: Ok(BTreeMap::new()), issue }
    }

    /// Who we are towards Vault where ServiceAccounts log in: Flux's `--sops-vault-configmap`. Without an account it is our
    /// own.
    async fn transit(
        &mut self,
        account: Option<Account>,
        variables: &Variables,
    ) -> Result<Option<TransitLogin>, Vec<Problem>> {
        let settings = &self.world.settings;
        let Some(name) = settings.vault_config_map.clone() else { return Ok(None) };
        let at = Reference::new("v1", "ConfigMap", &settings.namespace, &name);
        let logins = match self.read(&at, Stage::Build).await? {
            Some(found) => Logins::parse(&name, found.value().pointer("/data/config.yaml").and_then(Value::as_str)),
            None => Logins::unknown(format!("the Vault ConfigMap '{name}' is not found")),
        };
        let own = || settings.own_account.as_ref().map(|(namespace, name)| self.bare(namespace, name));
        let account = account.or_else(own);
        Ok(account.map(|account| TransitLogin::of_account(&account, logins, variables)))
    }
}

fn issue(world: &World, namespace: &str, name: &str) -> Issue {
    let (cluster, namespace, name) = (world.cluster.clone(), namespace.to_owned(), name.to_owned());
    Arc::new(move |audience| {
        let (cluster, namespace, name): (Arc<dyn Cluster>, _, _) = (cluster.clone(), namespace.clone(), name.clone());
        Box::pin(async move {
            let token = service_account_token(&cluster, &namespace, &name, &[audience]).await;
            token.map(Zeroizing::new).map_err(|error| error.to_string())
        })
    })
}
