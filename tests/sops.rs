//! SOPS beside the real one: what one encrypts the other opens, for keys of every kind, alone and shared between groups.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here stops the test")]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/testbed.rs"]
mod testbed;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dice::Dice;
use lockstep::decrypt::{Credentials, Variables, Vaults};
use serde_json::{Map, Value, json};
use sops::{Error, Format, Identities, Indents, MacState, Sealed, Settings};
use tempfile::TempDir;
use testbed::azure::TENANT;
use testbed::{Testbed, attempt, command, run, unique};
use tokio::runtime::Runtime;

/// Documents, each of a format, for keys, by its number.
const DOCUMENTS: u64 = 500;
const NOW: &str = "2026-01-02T03:04:05Z";
const FORMATS: [&str; 5] = ["yaml", "json", "dotenv", "ini", "binary"];

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Age,
    PostQuantum,
    SshEd25519,
    SshRsa,
    PgpRsa,
    PgpCurve25519,
    PgpNist,
    Azure,
    Aws,
    Gcp,
    Transit,
}

const KINDS: [Kind; 11] = [
    Kind::Age,
    Kind::PostQuantum,
    Kind::SshEd25519,
    Kind::SshRsa,
    Kind::PgpRsa,
    Kind::PgpCurve25519,
    Kind::PgpNist,
    Kind::Azure,
    Kind::Aws,
    Kind::Gcp,
    Kind::Transit,
];

/// A key of a kind: how `.sops.yaml` names it, and the private half as a file holds it.
struct Key {
    kind: Kind,
    list: &'static str,
    entry: Value,
    private: String,
}

/// A user with a key of each kind, for the original and for us.
struct User {
    testbed: &'static Testbed,
    folder: TempDir,
    keys: Vec<Key>,
    client: reqwest::Client,
    environment: Vec<(&'static str, String)>,
    runtime: Runtime,
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = attempt(self.gpg("gpgconf").args(["--kill", "gpg-agent"]));
    }
}

impl User {
    fn new() -> Self {
        let testbed = Testbed::shared();
        let runtime = Runtime::new().expect("a runtime");
        let vault = testbed.vault();
        let identity = testbed.identity("sops", &unique("nobody"), &[&vault]);
        let created: Value = vault.request("POST", "keys/sops/create", Some(&json!({"kty": "RSA"})));
        let id = created["key"]["kid"].as_str().expect("a key has an id");
        let azure = json!({"vaultUrl": vault.url(), "key": "sops", "version": id.rsplit('/').next()});
        let folder = TempDir::new().expect("a folder");
        let environment = vec![
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_CLIENT_ID", identity.client_id.clone()),
            ("AZURE_CLIENT_SECRET", identity.secret.clone()),
            ("VAULT_TOKEN", "testbed".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIATESTBED".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testbed".to_owned()),
            ("AWS_ENDPOINT_URL_KMS", testbed.value("TESTBED_KMS").to_owned()),
            ("GOOGLE_OAUTH_ACCESS_TOKEN", "testbed".to_owned()),
            ("SOPS_GCP_KMS_CLIENT_TYPE", "rest".to_owned()),
        ];
        let mut user = Self { testbed, folder, keys: Vec::new(), client: client(testbed), environment, runtime };
        user.add(Kind::Azure, "azure_keyvault", azure, String::new());
        let transit = format!("{}/v1/{}/keys/sops", testbed.value("TESTBED_TRANSIT"), unique("transit"));
        user.add(Kind::Transit, "hc_vault", transit.into(), String::new());
        let arn = format!("arn:aws:kms:eu-west-1:123456789012:key/{}", unique("kms"));
        let aws = json!({"arn": arn, "context": {"team": "a<b", "app": "é"}});
        user.add(Kind::Aws, "kms", aws, String::new());
        let google = format!("projects/p/locations/global/keyRings/{}/cryptoKeys/sops", unique("ring"));
        user.add(Kind::Gcp, "gcp_kms", json!({"resource_id": google}), String::new());
        user.add_age();
        user.add_ssh(Kind::SshEd25519, "ed25519", "id_ed25519");
        user.add_ssh(Kind::SshRsa, "rsa", "id_rsa");
        user.add_pgp(Kind::PgpRsa, "RSA", "RSA");
        user.add_pgp(Kind::PgpCurve25519, "EDDSA\nKey-Curve: ed25519", "ECDH\nSubkey-Curve: cv25519");
        user.add_pgp(Kind::PgpNist, "ECDSA\nKey-Curve: nistp256", "ECDH\nSubkey-Curve: nistp256");
        user
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn add(&mut self, kind: Kind, list: &'static str, entry: Value, private: String) {
        self.keys.push(Key { kind, list, entry, private });
    }

    fn add_age(&mut self) {
        let (classic, post_quantum) = (sops::generate(), sops::generate_post_quantum().expect("randomness"));
        let lines = format!("# mine\n{}\n{}\n", *classic.0, *post_quantum.0);
        std::fs::write(self.path().join("keys.txt"), lines).expect("the folder can be written");
        self.add(Kind::Age, "age", classic.1.into(), classic.0.to_string());
        self.add(Kind::PostQuantum, "age", post_quantum.1.into(), post_quantum.0.to_string());
    }

    fn add_ssh(&mut self, kind: Kind, algorithm: &str, name: &str) {
        let folder = self.path().join(".ssh");
        std::fs::create_dir_all(&folder).expect("the folder can be written");
        let file = folder.join(name);
        run(command("ssh-keygen".as_ref()).args(["-q", "-t", algorithm, "-N", "", "-C", "me@here", "-f"]).arg(&file));
        let read = |file: &Path| std::fs::read_to_string(file).expect("ssh-keygen wrote it");
        let public = read(&file.with_extension("pub")).trim().to_owned();
        let private = read(&file);
        self.add(kind, "age", public.into(), private);
    }

    fn add_pgp(&mut self, kind: Kind, primary: &str, subkey: &str) {
        let home = self.path().join("gnupg");
        std::fs::create_dir_all(&home).expect("the folder can be written");
        run(command("chmod".as_ref()).arg("700").arg(&home));
        let wanted = format!(
            "%no-protection\nKey-Type: {primary}\nKey-Usage: sign\nSubkey-Type: {subkey}\nSubkey-Usage: encrypt\n\
             Name-Email: {kind:?}@example.com\nExpire-Date: 0\n%commit\n"
        );
        let file = self.path().join("wanted");
        std::fs::write(&file, wanted).expect("the folder can be written");
        run(self.gpg("gpg").args(["--batch", "--quiet", "--gen-key"]).arg(&file));
        let name = format!("{kind:?}@example.com");
        let listed = run(self.gpg("gpg").args(["--list-keys", "--with-colons", &name]));
        let line = listed.lines().find(|line| line.starts_with("fpr:")).expect("a fingerprint");
        let fingerprint = line.split(':').nth(9).expect("a fingerprint").to_owned();
        let private = run(self.gpg("gpg").args(["--export-secret-keys", "--armor", &name]));
        std::fs::write(self.path().join(format!("{kind:?}.asc")), &private).expect("the folder can be written");
        self.add(kind, "pgp", fingerprint.into(), private);
    }

    fn gpg(&self, name: &str) -> Command {
        let mut command = command(name.as_ref());
        command.env("GNUPGHOME", self.path().join("gnupg"));
        command
    }

    /// The original, with all of the user's keys at hand.
    fn sops(&self) -> Command {
        self.at_hand(self.testbed.tool("sops"))
    }

    /// Our command, likewise. It reads no keyring of GnuPG, so that it is given the keys.
    fn ours(&self) -> Command {
        let mut command = self.at_hand(command(env!("CARGO_BIN_EXE_lockstep").as_ref()));
        command.envs(self.testbed.environment()).arg("sops");
        for kind in [Kind::PgpRsa, Kind::PgpCurve25519, Kind::PgpNist] {
            command.arg("--pgp-key").arg(self.path().join(format!("{kind:?}.asc")));
        }
        command
    }

    fn at_hand(&self, mut command: Command) -> Command {
        for inherited in ["SOPS_AGE_KEY", "SOPS_AGE_RECIPIENTS", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "XDG_CONFIG_HOME"] {
            command.env_remove(inherited);
        }
        command.env("HOME", self.path()).env("GNUPGHOME", self.path().join("gnupg"));
        command.env("SOPS_AGE_KEY_FILE", self.path().join("keys.txt"));
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }

    fn key(&self, kind: Kind) -> &Key {
        self.keys.iter().find(|key| key.kind == kind).expect("a key of each kind")
    }

    /// The creation rules of a document.
    fn rules(&self, groups: &[Vec<Kind>], threshold: usize) -> Value {
        let group = |kinds: &Vec<Kind>| {
            let mut lists = Map::new();
            for key in kinds.iter().map(|kind| self.key(*kind)) {
                let list = lists.entry(key.list).or_insert_with(|| json!([]));
                list.as_array_mut().expect("a list").push(key.entry.clone());
            }
            lists
        };
        let groups: Vec<_> = groups.iter().map(group).collect();
        json!({"creation_rules": [{"shamir_threshold": threshold, "key_groups": groups}]})
    }

    /// The vaults of some kinds alone.
    fn vaults(&self, kinds: &[Kind]) -> Arc<Vaults> {
        let all = Credentials::of_environment(&self.environment.iter().cloned().collect::<Variables>());
        let credentials = Credentials {
            azure: all.azure.filter(|_| kinds.contains(&Kind::Azure)),
            aws: all.aws.filter(|_| kinds.contains(&Kind::Aws)),
            gcp: all.gcp.filter(|_| kinds.contains(&Kind::Gcp)),
            transit: all.transit.filter(|_| kinds.contains(&Kind::Transit)),
        };
        Arc::new(Vaults::new(self.client.clone(), self.runtime.handle().clone(), credentials))
    }

    /// Identities of some kinds alone.
    fn identities(&self, kinds: &[Kind]) -> Identities {
        let mut identities = Identities::default();
        for key in kinds.iter().map(|kind| self.key(*kind)) {
            let added = match key.kind {
                Kind::Age | Kind::PostQuantum => identities.add_age("key", &key.private),
                Kind::SshEd25519 | Kind::SshRsa => identities.add_ssh("key", &key.private),
                Kind::PgpRsa | Kind::PgpCurve25519 | Kind::PgpNist => identities.add_pgp("key", &key.private),
                Kind::Azure | Kind::Aws | Kind::Gcp | Kind::Transit => {
                    identities.set_service(self.vaults(kinds));
                    Ok(())
                }
            };
            added.expect("an identity");
        }
        identities
    }
}

/// What reaches the stand-ins by their real names.
fn client(testbed: &Testbed) -> reqwest::Client {
    let ca = std::fs::read(testbed.ca()).expect("the testbed has a CA");
    let ca = reqwest::Certificate::from_pem(&ca).expect("it is PEM");
    let proxy = reqwest::Proxy::https(testbed.value("HTTPS_PROXY")).expect("a proxy");
    let builder = reqwest::Client::builder().tls_certs_only([ca]).proxy(proxy);
    builder.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

/// A document of a number, and who can open it.
struct Case {
    format: &'static str,
    plain: Vec<u8>,
    /// One key of a group opens it.
    groups: Vec<Vec<Kind>>,
    /// Groups that must open.
    threshold: usize,
    /// A key of each of just so many groups.
    openers: Vec<Kind>,
}

impl Case {
    fn new(number: u64) -> Self {
        let mut dice = Dice(number);
        let format = FORMATS[pick(&mut dice, FORMATS.len())];
        let is_shared = dice.hits(30);
        let count = if is_shared { 2 + pick(&mut dice, 3) } else { 1 };
        let mut left = KINDS.to_vec();
        let mut take = |dice: &mut Dice| left.swap_remove(pick(dice, left.len()));
        let groups: Vec<Vec<Kind>> =
            (0..count).map(|_| (0..=u64::from(dice.hits(40))).map(|_| take(&mut dice)).collect()).collect();
        let threshold = if is_shared { 2 + pick(&mut dice, count - 1) } else { 0 };
        let mut some: Vec<&Vec<Kind>> = groups.iter().collect();
        let needed = threshold.max(1);
        let openers = (0..needed)
            .map(|_| {
                let group = some.swap_remove(pick(&mut dice, some.len()));
                group[pick(&mut dice, group.len())]
            })
            .collect();
        let plain = plain(&mut dice, format);
        Self { format, plain, groups, threshold, openers }
    }

    /// What is done to it. There is nothing to set in a binary file.
    fn change(&self, number: u64) -> Change {
        match number % 3 {
            0 if self.format != "binary" => Change::Set,
            0 | 1 => Change::Rotate,
            _ => Change::UpdateKeys,
        }
    }

    /// A place for another value.
    fn place(&self) -> &'static str {
        if self.format == "ini" { r#"["second"]["added"]"# } else { r#"["ADDED"]"# }
    }
}

fn pick(dice: &mut Dice, limit: usize) -> usize {
    usize::try_from(dice.below(limit as u64)).expect("it is small")
}

fn plain(dice: &mut Dice, format: &str) -> Vec<u8> {
    let lines = 1 + pick(dice, 8);
    match format {
        "binary" => (0..dice.below(300)).map(|_| u8::try_from(dice.below(256)).expect("a byte")).collect(),
        "dotenv" => (0..lines).flat_map(|line| format!("KEY_{line}={}\n", word(dice)).into_bytes()).collect(),
        "ini" => {
            let pairs: String = (0..lines).map(|line| format!("key{line} = {}\n", word(dice))).collect();
            format!("[first]\n{pairs}\n[second]\nkey = {}\n", word(dice)).into_bytes()
        }
        // JSON is YAML.
        _ => Value::Object(object(dice, 3)).to_string().into_bytes(),
    }
}

fn word(dice: &mut Dice) -> String {
    const WORDS: [&str; 6] = ["pass", "wörd", "a b", "12", "x=y", "true"];
    (0..=dice.below(3)).map(|_| WORDS[pick(dice, WORDS.len())]).collect()
}

fn object(dice: &mut Dice, depth: u64) -> Map<String, Value> {
    (0..1 + dice.below(5)).map(|place| (format!("k{place}{}", word(dice)), value(dice, depth))).collect()
}

fn value(dice: &mut Dice, depth: u64) -> Value {
    match dice.below(if depth == 0 { 5 } else { 7 }) {
        0 => word(dice).into(),
        1 => i64::try_from(dice.below(1 << 40)).expect("it is small").into(),
        2 => (f64::from(u32::try_from(dice.below(1 << 20)).expect("it is small")) / 8.0 + 0.5).into(),
        3 => dice.hits(50).into(),
        4 => format!("{}\n  two: lines\n\ttab \"{}\"\n", word(dice), word(dice)).into(),
        5 => Value::Array((0..1 + dice.below(3)).map(|_| value(dice, depth - 1)).collect()),
        _ => Value::Object(object(dice, depth - 1)),
    }
}

/// Has the original and us encrypt the same document for the same keys, and each open the other's.
fn exchange(user: &User, number: u64, case: &Case) -> Result<(), String> {
    let folder = user.path().join(number.to_string());
    std::fs::create_dir_all(&folder).expect("the folder can be written");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("the folder can be written");
        path
    };
    let rules = file(".sops.yaml", user.rules(&case.groups, case.threshold).to_string().as_bytes());
    let types = ["--input-type", case.format, "--output-type", case.format];
    let output = folder.join("theirs");
    let encrypt = |command: &mut Command| attempt(command).map_err(|said| format!("sops does not encrypt: {said}"));
    let plain = file("plain", &case.plain);
    encrypt(
        user.sops().arg("--config").arg(&rules).arg("encrypt").args(types).arg("--output").arg(&output).arg(plain),
    )?;

    let format = Format::from_name(case.format).expect("a format");
    let theirs = std::fs::read(&output).expect("sops wrote it");
    let identities = user.identities(&case.openers);
    let sealed = Sealed::load(&theirs, format).map_err(|error| format!("we do not read: {error}"))?;
    let groups = sealed.groups().to_vec();
    let opened = sealed.open(&identities, &|_| {}).map_err(|error| format!("we do not open: {error}"))?;
    if opened.mac() != MacState::Valid {
        return Err(opened.mac().to_string());
    }
    let too_few = Sealed::load(&theirs, format).and_then(|sealed| {
        let identities = user.identities(&case.openers[1..]);
        sealed.open(&identities, &|_| {}).map(drop)
    });
    if !matches!(too_few, Err(Error::DataKey(_))) {
        return Err("too few keys open it, or it fails otherwise".to_owned());
    }
    let read = opened.emit(format, Indents::default()).map_err(|error| error.to_string())?;

    let settings = Settings { groups, threshold: case.threshold, ..Settings::default() };
    let all = user.identities(&KINDS);
    let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("randomness");
    let ours = Sealed::encrypt(&case.plain, format, settings, &all, NOW, &mut random);
    let ours = ours.and_then(|sealed| sealed.emit(format, Indents::default()));
    let ours = file("ours", &ours.map_err(|error| format!("we do not encrypt: {error}"))?);
    let output = folder.join("opened");
    let decrypted = attempt(user.sops().arg("decrypt").args(types).arg("--output").arg(&output).arg(ours));
    decrypted.map_err(|said| format!("sops does not open: {said}"))?;
    let same = std::fs::read(&output).expect("sops wrote it") == read.bytes();
    std::fs::remove_dir_all(&folder).expect("it is ours");
    same.then_some(()).ok_or_else(|| "both open, and differ".to_owned())
}

/// What is done to a file that is encrypted.
#[derive(Clone, Copy, Debug)]
enum Change {
    Set,
    Rotate,
    /// The last group gets another key, and loses one.
    UpdateKeys,
}

/// Has us change what the original has encrypted, and the original what we have; each opens the other's.
fn change(user: &User, number: u64, case: &Case) -> Result<(), String> {
    let folder = user.path().join(format!("{number}-changed"));
    std::fs::create_dir_all(&folder).expect("the folder can be written");
    let rules = |groups: &[Vec<Kind>]| {
        let text = user.rules(groups, case.threshold).to_string();
        std::fs::write(folder.join(".sops.yaml"), text).expect("the folder can be written");
    };
    let done = |tool: &str, command: &mut Command| attempt(command).map_err(|said| format!("{tool}: {said}"));
    let tools = [("sops", User::sops as fn(&User) -> Command), ("ours", User::ours as fn(&User) -> Command)];
    rules(&case.groups);
    for (name, tool) in tools {
        std::fs::write(folder.join(name), &case.plain).expect("the folder can be written");
        let types = ["--input-type", case.format, "--output-type", case.format];
        done(name, tool(user).current_dir(&folder).args(["encrypt", "-i"]).args(types).arg(name))?;
    }
    let change = case.change(number);
    let mut groups = case.groups.clone();
    if let (Change::UpdateKeys, Some(last)) = (change, groups.last_mut()) {
        let others: Vec<Kind> =
            KINDS.into_iter().filter(|kind| !case.groups.iter().flatten().any(|it| it == kind)).collect();
        last[0] = others[usize::try_from(number).expect("it is small") % others.len()];
        rules(&groups);
    }
    // Each changes what the other has made.
    for ((file, _), (name, tool)) in tools.iter().zip(tools.iter().rev()) {
        let mut command = tool(user);
        command.current_dir(&folder);
        match change {
            Change::Set => command
                .args(["set", "--input-type", case.format, "--output-type", case.format, file])
                .args([case.place(), "\"new\""]),
            Change::Rotate => {
                command.args(["rotate", "-i", "--input-type", case.format, "--output-type", case.format, file])
            }
            Change::UpdateKeys => command.args(["updatekeys", "-y", "--input-type", case.format, file]),
        };
        done(&format!("{change:?} by {name}"), &mut command)?;
    }
    // And each opens what it has not touched last.
    let mut opened = Vec::new();
    for (name, tool) in tools {
        let types = ["--input-type", case.format, "--output-type", case.format, "--output", "opened"];
        done(
            &format!("{change:?}, opened by {name}"),
            tool(user).current_dir(&folder).arg("decrypt").args(types).arg(name),
        )?;
        opened.push(std::fs::read(folder.join("opened")).expect("it was written"));
    }
    let names = |file: &str| {
        let format = Format::from_name(case.format).expect("a format");
        let sealed = Sealed::load(&std::fs::read(folder.join(file)).expect("it is there"), format).expect("it is read");
        sealed.groups().iter().map(|group| group.iter().map(|key| key.name()).collect()).collect::<Vec<Vec<String>>>()
    };
    let is_same = opened[0] == opened[1] && names("sops") == names("ours");
    std::fs::remove_dir_all(&folder).expect("it is ours");
    is_same.then_some(()).ok_or_else(|| format!("{change:?}: what comes of it differs"))
}

#[test]
#[ignore = "needs the testbed: make test"]
fn our_command_finds_the_keys_of_the_user() {
    let user = User::new();
    for kind in KINDS {
        let folder = user.path().join(format!("{kind:?}"));
        std::fs::create_dir_all(&folder).expect("the folder can be written");
        let mut rules = user.rules(&[vec![kind]], 0);
        if kind == Kind::Azure {
            // The newest version is asked for, and written down.
            rules["creation_rules"][0]["key_groups"][0]["azure_keyvault"][0]["version"] = "".into();
        }
        std::fs::write(folder.join(".sops.yaml"), rules.to_string()).expect("the folder can be written");
        std::fs::write(folder.join("a.yaml"), "a: hunter2\n").expect("the folder can be written");
        run(user.ours().current_dir(&folder).args(["encrypt", "-i", "a.yaml"]));
        let first = std::fs::read_to_string(folder.join("a.yaml")).expect("it was written");
        assert_eq!(
            run(user.sops().current_dir(&folder).args(["decrypt", "a.yaml"])),
            "a: hunter2",
            "{kind:?}\n{first}"
        );
        run(user.ours().current_dir(&folder).args(["rotate", "-i", "a.yaml"]));
        let second = std::fs::read_to_string(folder.join("a.yaml")).expect("it was written");
        assert!(first != second && !second.contains("hunter2"));
        assert_eq!(run(user.sops().current_dir(&folder).args(["decrypt", "a.yaml"])), "a: hunter2", "{kind:?}");
        assert_eq!(run(user.ours().current_dir(&folder).args(["decrypt", "a.yaml"])), "a: hunter2", "{kind:?}");
    }
}

#[test]
#[ignore = "needs the testbed: make test"]
fn what_one_encrypts_or_changes_the_other_opens() {
    let user = User::new();
    let (next, began) = (AtomicU64::new(0), number("SOPS_FROM", 0));
    let last = began + number("SOPS_DOCUMENTS", DOCUMENTS);
    next.store(began, Ordering::Relaxed);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= last {
                return failed;
            }
            let case = Case::new(number);
            if let Err(why) = exchange(&user, number, &case).and_then(|()| change(&user, number, &case)) {
                failed.push(format!("{number}: {} for {:?} by {:?}: {why}", case.format, case.groups, case.openers));
            }
        }
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), last - began, failed.join("\n"));
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}
