//! The schemas of `crds/`, as the binary carries them: all kinds of Flux and External Secrets.

/// The definition of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Name of the CustomResourceDefinition, such as `gitrepositories.source.toolkit.fluxcd.io`.
    pub name: &'static str,
    /// The definition as YAML, one document.
    pub text: &'static str,
}

/// Takes the files in; their names are those of the definitions.
macro_rules! schemas {
    ($($name:literal,)+) => {
        &[$(Schema { name: $name, text: include_str!(concat!("../../crds/", $name, ".yaml")) },)+]
    };
}

/// Every definition, by name. `lockstep crds` prints them.
pub const ALL: &[Schema] = schemas![
    "acraccesstokens.generators.external-secrets.io",
    "alerts.notification.toolkit.fluxcd.io",
    "artifactgenerators.source.extensions.fluxcd.io",
    "beyondtrustworkloadcredentialsdynamicsecrets.generators.external-secrets.io",
    "buckets.source.toolkit.fluxcd.io",
    "cloudsmithaccesstokens.generators.external-secrets.io",
    "clusterexternalsecrets.external-secrets.io",
    "clustergenerators.generators.external-secrets.io",
    "clusterpushsecrets.external-secrets.io",
    "clustersecretstores.external-secrets.io",
    "ecrauthorizationtokens.generators.external-secrets.io",
    "externalartifacts.source.toolkit.fluxcd.io",
    "externalsecrets.external-secrets.io",
    "fakes.generators.external-secrets.io",
    "gcraccesstokens.generators.external-secrets.io",
    "generatorstates.generators.external-secrets.io",
    "githubaccesstokens.generators.external-secrets.io",
    "gitlabdeploytokens.generators.external-secrets.io",
    "gitrepositories.source.toolkit.fluxcd.io",
    "grafanas.generators.external-secrets.io",
    "helmcharts.source.toolkit.fluxcd.io",
    "helmreleases.helm.toolkit.fluxcd.io",
    "helmrepositories.source.toolkit.fluxcd.io",
    "imagepolicies.image.toolkit.fluxcd.io",
    "imagerepositories.image.toolkit.fluxcd.io",
    "imageupdateautomations.image.toolkit.fluxcd.io",
    "kustomizations.kustomize.toolkit.fluxcd.io",
    "mfas.generators.external-secrets.io",
    "ocirepositories.source.toolkit.fluxcd.io",
    "passwords.generators.external-secrets.io",
    "providers.notification.toolkit.fluxcd.io",
    "pushsecrets.external-secrets.io",
    "quayaccesstokens.generators.external-secrets.io",
    "receivers.notification.toolkit.fluxcd.io",
    "secretstores.external-secrets.io",
    "sshkeys.generators.external-secrets.io",
    "stssessiontokens.generators.external-secrets.io",
    "uuids.generators.external-secrets.io",
    "vaultdynamicsecrets.generators.external-secrets.io",
    "webhooks.generators.external-secrets.io",
];

/// All definitions as one stream of documents.
pub fn stream() -> String {
    ALL.iter().flat_map(|schema| ["---\n", schema.text]).collect()
}
