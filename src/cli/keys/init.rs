//! `lockstep keys init`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use apply::Call;
use clap::Args;
use manifest::Object;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Outcome, identity};
use crate::cli::print_styled;
use crate::cli::sops::write;
use crate::cli::target::Target;

/// Make an age key and a .sops.yaml, and say how the cluster gets the key.
///
/// What is there already stays: an identity file is never written over, and a .sops.yaml gets the new recipient by
/// `lockstep keys add`.
#[derive(Args)]
pub(super) struct Init {
    /// Where the identity is written.
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
        if self.identity.exists() {
            let problem = "is there already: it may be the only key to encrypted files. --identity names another file";
            return Err(anyhow!("{} {problem}", self.identity.display()).into());
        }
        let recipient = identity::make(&self.identity, self.post_quantum, false)?;
        let mut told = format!(
            "Public key: {recipient}\n{}: keep a copy in a safe place, and never commit it\n",
            self.identity.display()
        );
        if ignore(&self.identity)? {
            told.push_str(".gitignore: names the identity\n");
        }
        if Path::new(".sops.yaml").exists() {
            told.push_str(&format!(
                ".sops.yaml is there already; its rules get the key by\n  lockstep keys add {recipient}\n"
            ));
        } else {
            write(Path::new(".sops.yaml"), rules(&self.path_regex, &recipient).as_bytes())?;
            told.push_str(&format!(".sops.yaml: files that match {} are encrypted for it\n", self.path_regex));
        }
        let encrypting = "Encrypt a file:\n  lockstep sops encrypt -i apps/database.sops.yaml\n";
        if !self.apply {
            told.push_str(&format!("Give the key to the cluster:\n  {}\n{encrypting}", self.command()));
            return print_styled(&told);
        }
        // What is made already is told, whatever the cluster says.
        print_styled(&told)?;
        self.give()?;
        print_styled(&format!("Secret {}/{}: made\n{encrypting}", self.namespace, self.secret))
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

    fn give(&self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.identity).map(Zeroizing::new)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": self.secret, "namespace": self.namespace},
            "type": "Opaque",
            "stringData": {self.entry(): text.as_str()},
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let cluster = self.target.connect().await?;
            let object = Object::new(secret)?;
            let call = Call::Create { object, manager: "lockstep".into(), dry_run: false, subresource: None };
            let place = || format!("Secret {}/{}", self.namespace, self.secret);
            cluster.write(call).await.map(drop).with_context(place)
        })
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
