//! `lockstep keys init`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use apply::cluster::PatchKind;
use apply::{Call, Reference};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use manifest::Object;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::repository::Repository;
use super::{Outcome, identity};
use crate::cli::print_styled;
use crate::cli::sops::write;
use crate::cli::target::Target;
use crate::cluster::journal::MANAGER;

const RULES: &str = ".sops.yaml";

/// Make an age key and a .sops.yaml, and say how the cluster gets the key.
///
/// What is there already stays: the keys of an identity file are used, such as those of age-keygen, and a .sops.yaml gets
/// a recipient that it does not name by `lockstep keys add`.
#[derive(Args)]
pub(super) struct Init {
    /// The identity: a file that age-keygen has made, or where to write a new one.
    #[arg(long, value_name = "FILE", default_value = "age.agekey")]
    identity: PathBuf,
    /// Make a post-quantum identity, which SOPS 3.12 and Flux 2.9 and later read.
    #[arg(long)]
    post_quantum: bool,
    /// Which files are encrypted: paths that match.
    #[arg(long, value_name = "REGEX", default_value = r"\.sops\.ya?ml$")]
    path_regex: String,
    /// Write the Secret to the cluster.
    #[arg(long)]
    apply: bool,
    /// The namespace of the Secret: that of the Kustomizations that decrypt with it.
    #[arg(short, long, value_name = "NAME", default_value = "flux-system")]
    namespace: String,
    /// The name of the Secret.
    #[arg(long, value_name = "NAME", default_value = "sops-age")]
    secret: String,
    #[command(flatten)]
    target: Target,
}

impl Init {
    pub(super) fn run(self) -> Outcome {
        let (recipients, mut told) = self.recipients()?;
        if ignore(&self.identity)? {
            told.push_str(".gitignore: names the identity\n");
        }
        match read_if_there(Path::new(RULES))? {
            // What else the file holds was retired.
            Some(rules) if recipients.iter().any(|key| rules.contains(key)) => {}
            Some(_) => recipients.iter().for_each(|key| {
                told.push_str(&format!(
                    "{RULES} is there already; its rules get the key by\n  lockstep keys add {key}\n"
                ));
            }),
            None => {
                if let Ok(above) = Repository::find(Path::new(".")) {
                    let above = above.config_path();
                    told.push_str(&format!("{} is not looked at from here any more\n", above.display()));
                }
                write(Path::new(RULES), rules(&self.path_regex, &recipients.join(",")).as_bytes())?;
                told.push_str(&format!("{RULES}: files that match {} are encrypted for it\n", self.path_regex));
            }
        }
        let absolute = std::path::absolute(&self.identity).context("the folder")?;
        let using = format!(
            "Encrypt a file:\n  lockstep sops encrypt -i apps/database.sops.yaml\n\
             And open it again:\n  export SOPS_AGE_KEY_FILE='{}'\n  lockstep sops edit apps/database.sops.yaml\n",
            absolute.display()
        );
        if !self.apply {
            told.push_str(&format!("Give the key to the cluster:\n  {}\n{using}", self.command()));
            return print_styled(&told);
        }
        // What is made already is told, whatever the cluster says.
        print_styled(&told)?;
        let given = self.give()?;
        print_styled(&format!("Secret {}/{}: {given}\n{using}", self.namespace, self.secret))
    }

    /// Whom the identity opens files for, and what to say of it; made where there is none.
    fn recipients(&self) -> anyhow::Result<(Vec<String>, String)> {
        let file = self.identity.display();
        let public =
            |recipients: &[String]| recipients.iter().map(|it| format!("Public key: {it}\n")).collect::<String>();
        if !self.identity.exists() {
            let made = identity::generate(self.post_quantum)?;
            made.write_to(&self.identity)?;
            let made = vec![made.recipient];
            let told = format!("{}{file}: keep a copy in a safe place, and never commit it\n", public(&made));
            return Ok((made, told));
        }
        let found = identity::recipients(&self.identity)?;
        let is_new_kind = found.iter().any(|recipient| recipient.starts_with("age1pq1"));
        if found.is_empty() || (self.post_quantum && !is_new_kind) {
            let problem = if found.is_empty() { "holds no age key" } else { "holds no post-quantum key" };
            return Err(anyhow!("{file} is there already, and {problem}; --identity names another file"));
        }
        let told = format!("{}{file}: is there already, and is used; never commit it\n", public(&found));
        Ok((found, told))
    }

    /// What writes the Secret; its entry must end in `.agekey`.
    fn command(&self) -> String {
        let Self { namespace, secret, .. } = self;
        let file = self.identity.display();
        format!("kubectl create secret generic {secret} --namespace={namespace} --from-file={}={file}", self.entry())
    }

    fn entry(&self) -> String {
        let name = self.identity.file_name().map_or_else(Default::default, |name| name.to_string_lossy().into_owned());
        if name.ends_with(".agekey") { name } else { format!("{name}.agekey") }
    }

    /// Gives the cluster the identity, and says how: a Secret that is there keeps what else it has, and an entry that says
    /// something else stays.
    fn give(&self) -> anyhow::Result<&'static str> {
        let text = std::fs::read_to_string(&self.identity).map(Zeroizing::new)?;
        let at = Reference::new("v1", "Secret", &self.namespace, &self.secret);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let given = runtime.block_on(async {
            let cluster = self.target.connect().await?;
            let Some(found) = cluster.get(&at).await? else {
                cluster.write(self.creation(&text)?).await?;
                return Ok("made");
            };
            let entry = self.entry();
            let holds = found.value().get("data").and_then(|data| data.get(&entry)).and_then(Value::as_str);
            match holds.map(|encoded| manifest::decoded(encoded).map(Zeroizing::new)) {
                Some(Ok(bytes)) if *bytes == text.as_bytes() => return Ok("has the key already"),
                Some(_) => {
                    let ways = "--identity, --secret or --namespace name another one";
                    return Err(anyhow!("its entry {entry} is another key, which files may need; {ways}"));
                }
                None => {}
            }
            // The version tells that nobody has given the entry meanwhile.
            let patch = json!({
                "metadata": {"resourceVersion": found.resource_version()},
                "data": {entry: Zeroizing::new(STANDARD.encode(text.as_bytes())).as_str()},
            });
            let (kind, manager) = (PatchKind::Merge, MANAGER.to_owned());
            let call = Call::Patch { at: at.clone(), kind, patch, manager, dry_run: false, subresource: None };
            cluster.write(call).await?;
            Ok("has the key beside what it had")
        });
        given.with_context(|| format!("Secret {}/{}", self.namespace, self.secret))
    }

    fn creation(&self, text: &str) -> anyhow::Result<Call> {
        let object = Object::new(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": self.secret, "namespace": self.namespace},
            "type": "Opaque",
            "stringData": {self.entry(): text},
        }))?;
        Ok(Call::Create { object, manager: MANAGER.into(), dry_run: false, subresource: None })
    }
}

fn read_if_there(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

fn rules(path_regex: &str, recipient: &str) -> String {
    let quoted = path_regex.replace('\'', "''");
    format!(
        "creation_rules:\n# Of a Secret the values are encrypted, the rest stays readable.\n- path_regex: '{quoted}'\n  \
         encrypted_regex: ^(data|stringData)$\n  age: {recipient}\n"
    )
}

/// Keeps a file of this folder out of Git, where there is a repository. Whether that took a new line.
fn ignore(file: &Path) -> anyhow::Result<bool> {
    let (Some(name), Ok(_)) = (file.to_str(), gix::discover(".")) else { return Ok(false) };
    let text = std::fs::read_to_string(".gitignore").unwrap_or_default();
    let is_here = file.components().count() == 1;
    if !is_here || text.lines().any(|line| line.trim() == name || line.trim() == format!("/{name}")) {
        return Ok(false);
    }
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let written = write(Path::new(".gitignore"), format!("{text}{newline}/{name}\n").as_bytes());
    written.map_err(|failure| failure.error.unwrap_or_else(|| anyhow!(".gitignore")))?;
    Ok(true)
}
