//! `lockstep keys`, in repositories of Git as a user has them.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::testbed::Testbed;
use super::{Lockstep, Ran};

/// A repository, and the key of whoever works in it.
struct Shop(tempfile::TempDir);

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  password: hunter2\n  user: admin\n";

impl Shop {
    /// With a key and a rule, and an encrypted file that is committed.
    fn new() -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        shop.git(&["init", "-q", "."]);
        shop.run(&["keys", "init"]).succeeds();
        shop.write("apps/db.sops.yaml", SECRET);
        shop.run(&["sops", "encrypt", "-i", "apps/db.sops.yaml"]).succeeds();
        shop.commit();
        shop
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Lockstep::new(self.path()).env("SOPS_AGE_KEY_FILE", self.path().join("age.agekey")).run(arguments)
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(self.path()).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
        assert!(git.status().unwrap().success(), "git {arguments:?}");
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "change"]);
    }

    fn write(&self, path: &str, text: &str) {
        super::cases::write(self.path(), path, text.as_bytes());
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// The recipient that `.sops.yaml` names alone.
    fn own(&self) -> String {
        let key = self.text("age.agekey");
        key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
    }

    fn findings(&self) -> Vec<String> {
        let audited = self.run(&["keys", "audit", "-o", "json"]);
        let reports: Json = serde_json::from_str(&audited.out()).unwrap();
        let findings = reports.as_array().unwrap().iter().flat_map(|report| report["findings"].as_array().unwrap());
        let findings: Vec<String> = findings.map(|finding| finding.as_str().unwrap().to_owned()).collect();
        assert_eq!(audited.code(), if findings.is_empty() { 0 } else { 2 });
        assert!(!audited.out().contains("hunter2"));
        findings
    }
}

fn stranger() -> (String, String) {
    let (identity, recipient) = sops::generate();
    (identity.to_string(), recipient)
}

#[test]
fn a_key_is_made_once_and_kept_out_of_git() {
    let shop = Shop(tempfile::tempdir().unwrap());
    shop.git(&["init", "-q", "."]);
    let told = shop.run(&["keys", "init"]).succeeds();
    let own = shop.own();
    assert!(told.contains(&format!("Public key: {own}\n")), "{told}");
    let command = "kubectl create secret generic sops-age --namespace=flux-system --from-file=age.agekey=age.agekey\n";
    assert!(told.contains(command), "{told}");
    assert!(shop.text(".sops.yaml").contains(&format!("age: {own}\n")));
    assert_eq!(shop.text(".gitignore"), "/age.agekey\n");
    let identity = shop.text("age.agekey");
    let again = shop.run(&["keys", "init"]).succeeds();
    assert!(again.contains(command) && again.contains("age.agekey: is there already"), "{again}");
    assert!(!again.contains("keys add"), "{again}");
    assert!(shop.run(&["keys", "init", "--post-quantum"]).fails(1).contains("holds no post-quantum key"));
    assert_eq!(shop.text("age.agekey"), identity);
    let second = shop.run(&["keys", "init", "--identity", "other.txt", "--post-quantum", "--secret", "s"]).succeeds();
    assert!(second.contains("Public key: age1pq1") && second.contains("lockstep keys add age1pq1"), "{second}");
    assert!(second.contains("generic s --namespace=flux-system --from-file=other.txt.agekey=other.txt\n"), "{second}");
}

#[test]
fn a_key_of_age_keygen_is_used_as_it_is() {
    let shop = Shop(tempfile::tempdir().unwrap());
    let (identity, recipient) = stranger();
    shop.git(&["init", "-q", "."]);
    shop.write("keys.txt", &identity);
    let told = shop.run(&["keys", "init", "--identity", "keys.txt"]).succeeds();
    assert!(told.contains(&format!("Public key: {recipient}\n")), "{told}");
    assert!(told.contains("--from-file=keys.txt.agekey=keys.txt\n"), "{told}");
    assert!(shop.text(".sops.yaml").contains(&format!("age: {recipient}\n")));
    assert_eq!((shop.text("keys.txt"), shop.text(".gitignore")), (identity, "/keys.txt\n".to_owned()));
    assert!(!shop.path().join("age.agekey").exists());
    shop.write("notes.txt", "nothing of that kind\n");
    let refused = shop.run(&["keys", "init", "--identity", "notes.txt"]).fails(1);
    assert!(refused.contains("notes.txt"), "{refused}");
    assert_eq!(shop.text(".gitignore"), "/keys.txt\n");
}

#[test]
#[ignore = "needs the testbed: make test"]
fn a_key_is_given_to_a_cluster_beside_what_it_has() {
    let testbed = Testbed::shared();
    let namespace = testbed.namespace("keys");
    let shop = Shop(tempfile::tempdir().unwrap());
    let give = |identity: &str| {
        let kubeconfig = testbed.kubeconfig();
        let target = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespace", &namespace];
        shop.run(&[&["keys", "init", "--apply", "--identity", identity], &target[..]].concat())
    };
    let data = || {
        let secret = testbed.kubectl(&["get", "secret", "sops-age", "-n", &namespace, "-o", "json"]);
        serde_json::from_str::<Json>(&secret).unwrap()["data"].clone()
    };
    let encoded = |name: &str| STANDARD.encode(shop.text(name));
    assert!(give("age.agekey").succeeds().contains(": made\n"));
    assert_eq!(data(), serde_json::json!({"age.agekey": encoded("age.agekey")}));
    assert!(give("age.agekey").succeeds().contains("has the key already"));
    assert!(give("second.agekey").succeeds().contains("beside what it had"));
    let both = serde_json::json!({"age.agekey": encoded("age.agekey"), "second.agekey": encoded("second.agekey")});
    assert_eq!(data(), both);
    // Another key of the same name may be the only one that opens somebody's files.
    shop.write("age.agekey", &stranger().0);
    let refused = give("age.agekey");
    assert_eq!(refused.code(), 1);
    let refused = refused.err();
    assert!(refused.contains("sops-age: its entry age.agekey is another key"), "{refused}");
    assert_eq!(data(), both);
}

#[test]
fn an_audit_names_what_is_wrong_and_never_the_secret() {
    let shop = Shop::new();
    assert_eq!(shop.findings(), [""; 0]);
    shop.write("apps/plain.sops.yaml", SECRET);
    shop.write("notes.txt", &format!("key: {}\n", stranger().0));
    assert_eq!(
        shop.findings(),
        [
            "is not encrypted, and .sops.yaml has a rule for it",
            "the value of stringData.password is in clear",
            "the value of stringData.user is in clear",
            "line 1 holds an age identity in clear",
        ]
    );
    assert_eq!(shop.run(&["keys", "audit", "--staged"]).succeeds(), "0 encrypted files, 0 findings\n");
    shop.git(&["add", "notes.txt"]);
    let staged = shop.run(&["keys", "audit", "--staged"]);
    assert_eq!(
        (staged.code(), staged.out().as_str()),
        (2, "notes.txt: line 1 holds an age identity in clear\n0 encrypted files, 1 finding\n")
    );
    std::fs::remove_file(shop.path().join("apps/plain.sops.yaml")).unwrap();
    std::fs::remove_file(shop.path().join("notes.txt")).unwrap();
    let changed = shop.text("apps/db.sops.yaml").replace("name: db", "name: other");
    shop.write("apps/db.sops.yaml", &changed);
    assert_eq!(shop.findings(), ["its MAC is stale: it was changed without sops"]);
}

#[test]
fn a_key_comes_to_all_files_and_goes_with_new_data_keys() {
    let shop = Shop::new();
    let (identity, recipient) = stranger();
    let reads = || {
        Lockstep::new(shop.path()).env("SOPS_AGE_KEY", &identity).run(&["sops", "decrypt", "apps/db.sops.yaml"]).code()
    };
    let before = shop.text("apps/db.sops.yaml");
    let planned = shop.run(&["keys", "add", &recipient, "--dry-run"]).succeeds();
    assert_eq!(planned, format!(".sops.yaml: with {recipient}\napps/db.sops.yaml: with {recipient}\n"));
    assert_eq!((reads(), shop.text("apps/db.sops.yaml")), (128, before.clone()));
    shop.run(&["keys", "add", &recipient, "--yes"]).succeeds();
    assert_eq!(reads(), 0);
    let sealed = |text: &str| {
        text.lines().filter(|line| line.starts_with("    password")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sealed(&shop.text("apps/db.sops.yaml")), sealed(&before), "values keep their ciphertext");
    assert!(shop.run(&["keys", "add", &recipient, "-y"]).succeeds().starts_with("Nothing to do"));
    shop.commit();
    // An interruption between the configuration and the files: the same command goes on.
    let rules = shop.text(".sops.yaml").replace(&format!(",{recipient}"), "");
    shop.write(".sops.yaml", &rules);
    assert_eq!(shop.findings(), [format!("differs from .sops.yaml: still has {recipient}")]);
    let gone = shop.run(&["keys", "remove", &recipient, "-y"]).succeeds();
    assert!(gone.starts_with("apps/db.sops.yaml: without"), "{gone}");
    assert_eq!(reads(), 128);
    let left = shop.findings();
    assert!(
        left.len() == 1 && left[0].starts_with(&format!("{recipient} was removed and can still read values")),
        "{left:?}"
    );
    assert_ne!(sealed(&shop.text("apps/db.sops.yaml")), sealed(&before), "removal takes another data key");
    let last = shop.run(&["keys", "remove", &shop.own(), "-y"]);
    assert!(last.fails(1).contains("would have a group without keys"));
}

#[test]
fn who_was_removed_and_can_still_read_is_found_in_the_history() {
    let shop = Shop::new();
    let (_, recipient) = stranger();
    shop.run(&["keys", "add", &recipient, "-y"]).succeeds();
    shop.commit();
    // Wrong: the data key stays, and with it everything that the removed key has seen.
    shop.write(".sops.yaml", &shop.text(".sops.yaml").replace(&format!(",{recipient}"), ""));
    assert_eq!(shop.run(&["sops", "updatekeys", "-y", "apps/db.sops.yaml"]).code(), 0);
    shop.commit();
    let found = shop.findings();
    assert!(
        found.len() == 1 && found[0].starts_with(&format!("{recipient} was removed and can still read values of it")),
        "{found:?}"
    );
    let who = || shop.run(&["keys", "who-can-read", &recipient, "-o", "json"]).succeeds();
    assert!(who().contains("\"readsCurrentValues\": true"));
    // Another data key makes nothing secret that was known; other values do.
    shop.run(&["sops", "rotate", "-i", "apps/db.sops.yaml"]).succeeds();
    assert!(who().contains("\"readsCurrentValues\": true") && shop.findings().len() == 1);
    for (entry, value) in [("password", "\"new\""), ("user", "\"root\"")] {
        let path = format!(r#"["stringData"]["{entry}"]"#);
        shop.run(&["sops", "set", "apps/db.sops.yaml", &path, value]).succeeds();
    }
    assert_eq!(shop.findings(), [""; 0]);
    assert!(who().contains("\"readsCurrentValues\": false"));
}

#[test]
fn recipients_are_named_as_their_own_files_name_them_and_never_by_their_private_keys() {
    let shop = Shop::new();
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    let file = format!("{ssh} me@here\n");
    shop.run(&["keys", "add", "-y", &file]).succeeds();
    assert!(shop.run(&["keys", "add", "-y", &file]).succeeds().starts_with("Nothing to do"));
    assert!(shop.text(".sops.yaml").contains(ssh) && !shop.text(".sops.yaml").contains("me@here"));
    assert!(shop.run(&["keys", "who-can-read", &file]).succeeds().contains("apps/db.sops.yaml"));
    shop.run(&["keys", "remove", "-y", &file]).succeeds();
    let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n";
    for (verb, identity) in
        ["add", "remove", "who-can-read"].iter().flat_map(|verb| [(verb, stranger().0), (verb, pem.to_owned())])
    {
        let refused = shop.run(&["keys", verb, "--", &identity]).fails(1);
        assert!(refused.contains("a private key") && !refused.contains(identity.trim()), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
    assert_eq!(shop.run(&["keys", "add", "--dry-run", "foo"]).fails(1).lines().count(), 1);
    assert!(shop.run(&["keys", "add", "-y", ssh, "--rule", "1"]).fails(1).contains("there is no rule 1, but 1"));
}

#[test]
fn an_audit_finds_what_does_not_open_and_secrets_below_other_entries() {
    let shop = Shop::new();
    let sealed = shop.text("apps/db.sops.yaml");
    shop.write(
        "apps/db.sops.yaml",
        &sealed.replacen("password: ENC[AES256_GCM,data:", "password: ENC[AES256_GCM,data:AAAA", 1),
    );
    let found = shop.findings();
    assert!(found.len() == 1 && found[0].starts_with("does not open: "), "{found:?}");
    shop.write(
        "apps/db.sops.yaml",
        &sealed.replacen("metadata:\n", "spec:\n    db:\n        password: inClear\nmetadata:\n", 1),
    );
    assert!(shop.findings().contains(&"the value of spec.db.password is in clear".to_owned()));
    shop.write("apps/db.sops.yaml", &sealed);
    let nobody = Lockstep::new(shop.path()).run(&["keys", "audit"]).succeeds();
    assert_eq!(nobody, "1 encrypted file, 1 not opened for want of a key, 0 findings\n");
}

#[test]
fn two_who_add_keys_at_once_do_not_lose_one() {
    let shop = Shop::new();
    for number in 0..20 {
        shop.write(&format!("apps/{number}.sops.yaml"), SECRET);
        shop.run(&["sops", "encrypt", "-i", &format!("apps/{number}.sops.yaml")]).succeeds();
    }
    let others = [stranger().1, stranger().1];
    std::thread::scope(|scope| {
        for other in &others {
            scope.spawn(|| shop.run(&["keys", "add", "-y", other]).succeeds());
        }
    });
    assert_eq!(shop.findings(), [""; 0]);
    assert!(
        others
            .iter()
            .all(|other| shop.text(".sops.yaml").contains(other) && shop.text("apps/7.sops.yaml").contains(other))
    );
}

#[test]
fn a_key_is_changed_in_two_steps() {
    let shop = Shop::new();
    let old = shop.own();
    let told = shop.run(&["keys", "rotate", "--yes"]).succeeds();
    assert!(told.ends_with(&format!("  lockstep keys rotate --retire {old}\n")), "{told}");
    assert_eq!(shop.text("age.agekey").matches("AGE-SECRET-KEY-1").count(), 2);
    assert_eq!(shop.findings(), [""; 0]);
    shop.run(&["keys", "rotate", "--retire", &old, "--yes"]).succeeds();
    assert!(!shop.text(".sops.yaml").contains(&old) && !shop.text("apps/db.sops.yaml").contains(&old));
    let plain = shop.run(&["sops", "decrypt", "apps/db.sops.yaml"]).succeeds();
    assert!(plain.contains("password: hunter2\n"), "{plain}");
    assert!(!shop.run(&["keys", "init"]).succeeds().contains("keys add"), "what was retired is not to come back");
    // The next time there is a third key, and the retired one does not come back; asked for nothing, nothing is made.
    let second = shop.text(".sops.yaml");
    assert_eq!(shop.run(&["keys", "rotate", "--dry-run"]).code(), 0);
    assert_eq!(shop.text("age.agekey").matches("AGE-SECRET-KEY-1").count(), 2);
    shop.run(&["keys", "rotate", "--yes"]).succeeds();
    assert_eq!(shop.text("age.agekey").matches("AGE-SECRET-KEY-1").count(), 3);
    let third = shop.text(".sops.yaml");
    assert!(!third.contains(&old) && third.len() > second.len(), "{third}");
    // Under way, it goes on.
    shop.run(&["keys", "rotate", "--yes"]).succeeds();
    assert_eq!((shop.text("age.agekey").matches("AGE-SECRET-KEY-1").count(), shop.text(".sops.yaml")), (3, third));
    let mine = shop.run(&["keys", "list"]).succeeds();
    assert!(mine.starts_with("KIND ") && mine.contains("   yes     age1"), "{mine}");
}

#[test]
fn rules_are_listed_as_a_person_knows_them() {
    let shop = Shop::new();
    let (own, (_, other)) = (shop.own(), stranger());
    let rules = format!(
        "# ours\ncreation_rules:\n- path_regex: '^apps/.*\\.sops\\.yaml$'\n  age: {own}\n- # the rest\n  age: >-\n    {own},\n    {other}\n"
    );
    shop.write(".sops.yaml", &rules);
    let listed = shop.run(&["keys", "list"]).succeeds();
    let line = |recipient: &str| listed.lines().find(|line| line.contains(recipient)).unwrap().to_owned();
    assert!(line(&own).ends_with(r"   ^apps/.*\.sops\.yaml$ (.sops.yaml:3), all files (.sops.yaml:6)"), "{listed}");
    assert!(line(&other).ends_with("   all files (.sops.yaml:6)"), "{listed}");
    let listed: Json = serde_json::from_str(&shop.run(&["keys", "list", "-o", "json"]).succeeds()).unwrap();
    let mine = listed.as_array().unwrap().iter().find(|key| key["recipient"] == own.as_str()).unwrap();
    assert_eq!(mine["rules"][0], serde_json::json!({"pathRegex": r"^apps/.*\.sops\.yaml$", "line": 3}), "{mine:#}");
    assert_eq!(mine["rules"][1]["pathRegex"], Json::Null, "{mine:#}");
}
