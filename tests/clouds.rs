//! Keys of clouds beside the real sops: whatever identity it finds, we find, and each opens what the other encrypts. What a
//! server refuses is told in its words, without what we sent.

#![expect(clippy::expect_used, reason = "what fails here stops the test")]

#[path = "support/testbed.rs"]
mod testbed;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::azure::TENANT;
use testbed::{Testbed, attempt, command, run, unique};

const GOOGLE: &str = "projects/p/locations/global/keyRings/r/cryptoKeys";
const AMAZON: &str = "arn:aws:kms:eu-west-1:123456789012:key";
const PROVIDER: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
/// The shared file of Amazon's SDKs; `HOME` is the user's folder.
const PROFILES: &str = "\
[profile base]
aws_access_key_id = AKIATESTBED
aws_secret_access_key = testbed # the stand-in's
[profile dev]
role_arn = arn:aws:iam::1:role/external
source_profile = base
external_id = outside
[profile far]
role_arn = arn:aws:iam::1:role/refused
source_profile = dev
external_id = outside
[profile web]
role_arn = arn:aws:iam::1:role/web
web_identity_token_file = HOME/web-token
[profile boxed]
role_arn = arn:aws:iam::1:role/boxed
credential_source = EcsContainer
[profile sso]
sso_session = work
sso_account_id = 1
sso_role_name = signed
[sso-session work]
sso_region = eu-west-1
sso_start_url = https://x.example/start
[profile command]
credential_process = cat /dev/null
";

/// A user with files of credentials of every kind.
struct User {
    testbed: &'static Testbed,
    home: TempDir,
}

type Variables = Vec<(&'static str, String)>;

impl User {
    fn new() -> Self {
        let user = Self { testbed: Testbed::shared(), home: TempDir::new().expect("a folder") };
        let home = user.path().to_str().expect("text").to_owned();
        user.write("a.yaml", "a: hunter2\n");
        user.google();
        user.write(".aws/config", &PROFILES.replace("HOME", &home));
        user.write("web-token", &user.token("sts.amazonaws.com"));
        // The name is the hash of the session's.
        let signed_in = json!({"accessToken": "sso-testbed", "expiresAt": "2099-01-01T00:00:00Z"});
        let name = run(command("sh".as_ref()).args(["-c", "printf work | sha1sum | cut -d' ' -f1"]));
        user.write(&format!(".aws/sso/cache/{name}.json"), &signed_in.to_string());
        user
    }

    fn google(&self) {
        let key = std::fs::read_to_string(self.testbed.data().join("pki/google.key")).expect("the testbed has one");
        let service = json!({"type": "service_account", "client_email": "sops@testbed.iam.gserviceaccount.com",
            "private_key_id": "1", "private_key": key, "token_uri": "https://oauth2.googleapis.com/token"});
        let person = json!({"type": "authorized_user", "client_id": "client-testbed", "client_secret": "secret-testbed",
            "refresh_token": "refresh-testbed", "quota_project_id": "quota-testbed"});
        let federated = json!({"type": "external_account", "audience": PROVIDER,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {"file": self.path().join("token")}});
        let other = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/\
                     other@p.iam.gserviceaccount.com:generateAccessToken";
        let with = |mut value: Value, more: &[(&str, Value)]| {
            more.iter().for_each(|(name, text)| value[*name] = text.clone());
            value.to_string()
        };
        self.write("token", &self.token(PROVIDER));
        self.write("token.json", &json!({"of": {"no": "use"}, "here": self.token(PROVIDER)}).to_string());
        self.write("service.json", &service.to_string());
        self.write("person.json", &person.to_string());
        self.write("federated.json", &federated.to_string());
        let source = json!({"file": self.path().join("token.json"),
            "format": {"type": "json", "subject_token_field_name": "here"}});
        let became = [("credential_source", source), ("service_account_impersonation_url", json!(other))];
        self.write("became.json", &with(federated.clone(), &became));
        let by = json!({"type": "impersonated_service_account", "service_account_impersonation_url": other,
            "source_credentials": person});
        self.write("by.json", &by.to_string());
        // What is refused: by the issuer, by IAM, by us.
        self.write("revoked.json", &with(person, &[("refresh_token", json!("canary-4f1d9c"))]));
        let refused = other.replace("other@", "refused@");
        self.write("refused.json", &with(by, &[("service_account_impersonation_url", json!(refused))]));
        self.write("wrong-audience.json", &with(federated.clone(), &[("audience", json!("canary"))]));
        self.write("elsewhere.json", &with(federated, &[("token_url", json!("https://sts.googleapis.com.evil/"))]));
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be written");
        std::fs::write(path, text).expect("the folder can be written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).expect("it is there")
    }

    /// A token of the default ServiceAccount for an audience.
    fn token(&self, audience: &str) -> String {
        self.testbed.kubectl(&["create", "token", "default", "--audience", audience])
    }

    fn sops(&self, variables: &Variables) -> Command {
        self.at_home(self.testbed.tool("sops"), variables)
    }

    fn ours(&self, variables: &Variables) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_lockstep").as_ref());
        command.envs(self.testbed.environment()).arg("sops");
        self.at_home(command, variables)
    }

    fn at_home(&self, mut command: Command, variables: &Variables) -> Command {
        command.current_dir(self.path()).env("HOME", self.path()).env("SOPS_GCP_KMS_CLIENT_TYPE", "rest");
        command.envs(variables.iter().map(|(name, text)| (*name, text)));
        command
    }

    /// Has each open what the other encrypts.
    fn exchange(&self, name: &str, variables: &Variables, flags: &[&str]) {
        for (first, second) in
            [(self.sops(variables), self.ours(variables)), (self.ours(variables), self.sops(variables))]
        {
            let (mut first, mut second) = (first, second);
            let sealed = attempt(first.arg("encrypt").args(flags).arg("a.yaml"));
            let sealed = sealed.unwrap_or_else(|said| panic_of(name, &first, &said));
            assert!(!sealed.contains("hunter2"));
            self.write("sealed.yaml", &sealed);
            let opened = attempt(second.args(["decrypt", "sealed.yaml"]));
            assert_eq!(opened.unwrap_or_else(|said| panic_of(name, &second, &said)), "a: hunter2", "{name}");
        }
    }

    /// What ours says when it cannot encrypt.
    fn refused(&self, variables: &Variables, flags: &[&str]) -> String {
        attempt(self.ours(variables).arg("encrypt").args(flags).arg("a.yaml")).expect_err("it is refused")
    }
}

#[expect(clippy::panic, reason = "what fails here stops the test")]
fn panic_of(name: &str, command: &Command, said: &str) -> ! {
    panic!("{name}: {}: {said}", command.get_program().display())
}

fn set(name: &'static str, text: impl Into<String>) -> Variables {
    vec![(name, text.into())]
}

#[test]
#[ignore = "needs the testbed: make test"]
fn google_is_asked_as_whoever_the_environment_names() {
    let user = User::new();
    let stand_in = user.testbed.value("TESTBED_KMS");
    let host = stand_in.trim_start_matches("http://");
    let with_endpoint = [set("GOOGLE_OAUTH_ACCESS_TOKEN", "testbed"), set("SOPS_GCP_KMS_ENDPOINT", stand_in)].concat();
    for (name, variables, key) in [
        ("a token", set("GOOGLE_OAUTH_ACCESS_TOKEN", "testbed"), "k"),
        ("an endpoint", with_endpoint, "k"),
        ("a service account", set("GOOGLE_CREDENTIALS", "service.json"), "for-sops"),
        ("its text", set("GOOGLE_CREDENTIALS", user.read("service.json")), "for-sops"),
        ("a person", set("GOOGLE_APPLICATION_CREDENTIALS", "person.json"), "for-person"),
        ("a token of another issuer", set("GOOGLE_APPLICATION_CREDENTIALS", "federated.json"), "for-federated"),
        ("as a service account", set("GOOGLE_APPLICATION_CREDENTIALS", "became.json"), "for-other"),
        ("as one, by a person", set("GOOGLE_APPLICATION_CREDENTIALS", "by.json"), "for-other"),
        ("the machine", set("GCE_METADATA_HOST", host), "for-machine"),
    ] {
        user.exchange(name, &variables, &["--gcp-kms", &format!("{GOOGLE}/{key}")]);
    }
    user.write(".config/gcloud/application_default_credentials.json", &user.read("person.json"));
    user.exchange("gcloud's own file", &Variables::new(), &["--gcp-kms", &format!("{GOOGLE}/for-person")]);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn amazon_is_asked_as_whoever_the_environment_names() {
    let user = User::new();
    let stand_in = user.testbed.value("TESTBED_KMS");
    let keys = [set("AWS_ACCESS_KEY_ID", "AKIATESTBED"), set("AWS_SECRET_ACCESS_KEY", "testbed")].concat();
    let container = [
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{stand_in}/container")),
        set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-testbed"),
    ]
    .concat();
    let web = [
        set("AWS_WEB_IDENTITY_TOKEN_FILE", user.path().join("web-token").to_str().expect("text")),
        set("AWS_ROLE_ARN", "arn:aws:iam::1:role/irsa"),
    ]
    .concat();
    let boxed = [container.clone(), set("AWS_PROFILE", "boxed")].concat();
    for (name, variables, key) in [
        ("an access key", keys.clone(), "k"),
        ("a role", keys.clone(), "for-sops-role+arn:aws:iam::123456789012:role/sops-role"),
        ("a profile", set("AWS_PROFILE", "base"), "k"),
        ("a profile's role", set("AWS_PROFILE", "dev"), "for-external"),
        ("a profile's web identity", set("AWS_PROFILE", "web"), "for-web"),
        ("a profile of single sign-on", set("AWS_PROFILE", "sso"), "for-signed"),
        ("a profile in a container", boxed, "for-boxed"),
        ("a container", container, "for-container"),
        ("a web identity", web, "for-irsa"),
        ("an instance", set("AWS_EC2_METADATA_SERVICE_ENDPOINT", stand_in), "for-instance"),
    ] {
        user.exchange(name, &variables, &["--kms", &format!("{AMAZON}/{key}")]);
    }
    // The profile that a key names counts more than the environment, and so does its context.
    let flags = ["--aws-profile", "dev", "--encryption-context", "team:a"];
    user.exchange("a key's profile", &keys, &[&["--kms", &format!("{AMAZON}/for-external")], &flags[..]].concat());
}

#[test]
#[ignore = "needs the testbed: make test"]
fn azure_is_asked_as_whoever_the_environment_names() {
    let user = User::new();
    let vault = user.testbed.vault();
    let created: Value = vault.request("POST", "keys/sops/create", Some(&json!({"kty": "RSA"})));
    let key = created["key"]["kid"].as_str().expect("a key has an id").to_owned();
    for name in ["app", "stranger"] {
        let files = ["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")].map(ToOwned::to_owned);
        let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=app"];
        run(command("openssl".as_ref()).current_dir(user.path()).args(request).args(files));
        user.write(&format!("{name}.pem"), &(user.read(&format!("{name}.key")) + &user.read(&format!("{name}.crt"))));
    }
    let client = unique("44444444-0000-0000-0000");
    let application = json!({"objectId": client, "vaults": [vault.host], "certificates": [user.read("app.crt")]});
    let file = user.testbed.data().join("applications").join(format!("{client}.json"));
    std::fs::write(file, application.to_string()).expect("the data folder can be written");
    let application = [set("AZURE_TENANT_ID", TENANT), set("AZURE_CLIENT_ID", client.as_str())].concat();
    let certified = [application.clone(), set("AZURE_CLIENT_CERTIFICATE_PATH", "app.pem")].concat();
    let with_chain = [certified.clone(), set("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true")].concat();
    let entra = user.testbed.value("TESTBED_ENTRA");
    let service = [
        set("AZURE_CLIENT_ID", client.as_str()),
        set("IDENTITY_ENDPOINT", format!("{entra}/msi/token")),
        set("IDENTITY_HEADER", "msi-testbed"),
    ]
    .concat();
    let flags = ["--azure-kv", key.as_str()];
    for (name, variables) in
        [("a certificate", &certified), ("its chain", &with_chain), ("a managed identity", &service)]
    {
        user.exchange(name, variables, &flags);
    }
    // The original's client knows no other place of the instance's metadata.
    let instance = [set("AZURE_CLIENT_ID", client.as_str()), set("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra)].concat();
    run(user.ours(&instance).arg("encrypt").args(flags).arg("a.yaml"));

    let strange = [application, set("AZURE_CLIENT_CERTIFICATE_PATH", "stranger.pem")].concat();
    let said = user.refused(&strange, &flags);
    assert!(said.contains("AADSTS700027: The certificate with identifier"), "{said}");
    let refused = [service, set("IDENTITY_HEADER", "canary-4f1d9c")].concat();
    let said = user.refused(&refused, &flags);
    assert!(said.contains("x-identity-header *** is refused") && !said.contains("canary-4f1d9c"), "{said}");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn vault_is_reached_as_its_own_variables_say() {
    let user = User::new();
    let ca = user.testbed.ca().to_str().expect("text").to_owned();
    let folder = user.path().join("authorities");
    std::fs::create_dir_all(&folder).expect("the folder can be written");
    std::fs::copy(&ca, folder.join("ca.pem")).expect("it can be copied");
    // Nothing but Vault's own variables trusts the testbed.
    let own = [set("VAULT_TOKEN", "testbed"), set("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")].concat();
    let with = |name, text: &str| [own.clone(), set(name, text)].concat();
    let key = format!("{}/v1/{}/keys/sops", user.testbed.value("TESTBED_TRANSIT_TLS"), unique("transit"));
    let flags = ["--hc-vault-transit", key.as_str()];
    let bytes = std::fs::read_to_string(&ca).expect("the testbed has a CA");
    for (name, variables) in [
        ("a file", with("VAULT_CACERT", &ca)),
        ("its text", with("VAULT_CACERT_BYTES", &bytes)),
        ("a folder", with("VAULT_CAPATH", folder.to_str().expect("text"))),
        ("no check", with("VAULT_SKIP_VERIFY", "true")),
    ] {
        user.exchange(name, &variables, &flags);
    }
    let said = user.refused(&own, &flags);
    assert!(said.contains("Vault no answer: "), "{said}");
    let other = [own.clone(), set("VAULT_TOKEN", "canary-4f1d9c"), set("VAULT_CACERT", ca)].concat();
    let said = user.refused(&other, &flags);
    assert!(said.contains("permission denied") && !said.contains("canary-4f1d9c"), "{said}");
    assert!(user.refused(&with("VAULT_SKIP_VERIFY", "maybe"), &flags).contains("VAULT_SKIP_VERIFY is neither"));
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_plan_asks_vaults_as_the_user_and_only_those_that_are_allowed() {
    let user = User::new();
    let (server, token) = (user.testbed.value("TESTBED_TRANSIT"), set("VAULT_TOKEN", "testbed"));
    let key = format!("{server}/v1/{}/keys/sops", unique("plan"));
    user.write(
        "app/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: default}\nstringData: {b: hunter2}\n",
    );
    let flags = ["-i", "--encrypted-regex", "stringData", "--hc-vault-transit", &key, "app/secret.yaml"];
    run(user.sops(&token).arg("encrypt").args(flags));
    user.write(
        "clusters/a.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: app, namespace: flux-system}\n\
         spec: {path: ./app, interval: 1m, prune: true, decryption: {provider: sops}, sourceRef: {kind: GitRepository, name: a}}\n",
    );
    let plan = |variables: &Variables| {
        let mut plan = user.at_home(command(env!("CARGO_BIN_EXE_lockstep").as_ref()), variables);
        let done = plan.args(["plan", "clusters", "--embedded"]).output().expect("it is built");
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).expect("text"))
    };
    let (code, said) = plan(&token);
    assert!(code == Some(1) && said.contains("servers alone that SOPS_HC_VAULT_ALLOWLIST names"), "{said}");
    let (code, said) = plan(&[token, set("SOPS_HC_VAULT_ALLOWLIST", server)].concat());
    assert!(code == Some(2) && said.contains("+ Secret/default/a app/secret.yaml:1"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

impl User {
    /// Has ours be refused, and looks at what it says.
    fn refuse_all(&self, cases: Vec<(Variables, [String; 2], &str)>) {
        let (token, web_token) = (self.read("token"), self.read("web-token"));
        let secrets = ["canary-4f1d9c", "secret-testbed", "refresh-testbed", &token, &web_token, "hunter2"];
        for (variables, flags, wanted) in cases {
            let said = self.refused(&variables, &flags.each_ref().map(String::as_str));
            assert!(said.contains(wanted), "wanted {wanted:?} of {flags:?}, got {said}");
            for secret in secrets {
                assert!(!said.contains(secret), "{flags:?} tells {secret}: {said}");
            }
        }
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_google_refuses_is_told_without_what_was_sent() {
    let google = |key: &str| ["--gcp-kms".to_owned(), format!("{GOOGLE}/{key}")];
    let file = |name: &str| set("GOOGLE_APPLICATION_CREDENTIALS", name);
    User::new().refuse_all(vec![
        (
            set("GOOGLE_OAUTH_ACCESS_TOKEN", "canary-4f1d9c"),
            google("k"),
            "answered 401 Unauthorized: Request had invalid authentication credentials: Bearer ***",
        ),
        (
            file("person.json"),
            google("for-machine"),
            "answered 403 Forbidden: Permission 'cloudkms.cryptoKeyVersions' denied",
        ),
        (
            file("revoked.json"),
            google("k"),
            "the issuer answered 400 Bad Request: Token has been expired or revoked: ***",
        ),
        (
            file("wrong-audience.json"),
            google("k"),
            "the issuer answered 400 Bad Request: The token *** is refused: audience",
        ),
        (
            file("refused.json"),
            google("k"),
            "IAM answered 403 Forbidden: Permission 'iam.serviceAccounts.getAccessToken'",
        ),
        (
            file("elsewhere.json"),
            google("k"),
            "token_url leads to no host of googleapis.com, and no other is sent a token",
        ),
        (file("nowhere.json"), google("k"), "GOOGLE_APPLICATION_CREDENTIALS: nowhere.json: No such file"),
        (set("GOOGLE_CREDENTIALS", "canary-4f1d9c"), google("k"), "neither a file nor credentials: it is no JSON"),
        (set("GCE_METADATA_HOST", "127.0.0.1:1"), google("k"), "the metadata server no answer"),
        (set("GOOGLE_OAUTH_ACCESS_TOKEN", "testbed"), google("k/../../x"), "is no key of KMS"),
    ]);
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_amazon_refuses_is_told_without_what_was_sent() {
    let user = User::new();
    let amazon = |key: &str| ["--kms".to_owned(), format!("{AMAZON}/{key}")];
    let keys = |secret: &str| [set("AWS_ACCESS_KEY_ID", "AKIATESTBED"), set("AWS_SECRET_ACCESS_KEY", secret)].concat();
    let stand_in = user.testbed.value("TESTBED_KMS");
    let container = |url: &str| {
        let url = set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
        [url, set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary-4f1d9c")].concat()
    };
    let web = [set("AWS_WEB_IDENTITY_TOKEN_FILE", "token"), set("AWS_ROLE_ARN", "arn:aws:iam::1:role/irsa")].concat();
    user.refuse_all(vec![
        (keys("canary-4f1d9c"), amazon("k"), "InvalidSignatureException: The request signature we calculated"),
        (
            keys("testbed"),
            amazon("k+arn:aws:iam::1:role/refused"),
            "answered 403 Forbidden: AccessDenied: User is not authorized to perform: sts:AssumeRole",
        ),
        (keys("testbed"), amazon("for-somebody"), "AccessDeniedException: User: "),
        (set("AWS_PROFILE", "missing"), amazon("k"), "there is no profile missing"),
        (set("AWS_PROFILE", "command"), amazon("k"), "credential_process is a program, and none is run"),
        (set("AWS_PROFILE", "far"), amazon("k"), "role arn:aws:iam::1:role/refused: STS answered 403 Forbidden"),
        (
            container(&format!("{stand_in}/container")),
            amazon("k"),
            "the container's credentials: answered 401 Unauthorized: the token *** is refused",
        ),
        (container("http://192.0.2.1/"), amazon("k"), "is neither of this machine nor of ECS or EKS"),
        (web, amazon("k"), "InvalidIdentityToken: the web identity *** is refused"),
        (
            set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
            amazon("k"),
            "the instance's metadata: no answer",
        ),
        (set("AWS_EC2_METADATA_DISABLED", "true"), amazon("k"), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ]);
}
