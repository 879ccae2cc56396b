//! The command lines that sops had before it had verbs, and still takes: `sops FILE`, `sops -d FILE`, `sops --set 'PATH VALUE' FILE`.

use std::ffi::OsString;

use clap::Args as _;

use super::Arguments;

/// What begins a value of `--set`, behind a path.
const END_OF_PATH: &str = "] ";

/// The arguments with the verb that they mean, where they are those of `lockstep sops` and have none.
pub(in crate::cli) fn with_verb(arguments: Vec<OsString>) -> Vec<OsString> {
    let is_ours = arguments.get(1).is_some_and(|first| first == "sops");
    let rest = arguments.get(2..).unwrap_or_default();
    if !is_ours || has_verb(rest) {
        return arguments;
    }
    let Some(spelled) = spelled(rest) else { return arguments };
    arguments.iter().take(2).cloned().chain(spelled).collect()
}

fn has_verb(arguments: &[OsString]) -> bool {
    let command = Arguments::augment_args(clap::Command::new("sops"));
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).chain(["-h", "--help"]).collect();
    arguments.iter().any(|argument| verbs.iter().any(|verb| argument == verb))
}

/// The verb and its arguments; `None` where there is no file, or more than one thing is asked for.
fn spelled(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (mut verbs, mut others, mut set) = (Vec::new(), Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-d" | "--decrypt") => verbs.push("decrypt"),
            Some("-e" | "--encrypt") => verbs.push("encrypt"),
            Some("-r" | "--rotate") => verbs.push("rotate"),
            Some("--set") => set.push(arguments.next()?.to_str()?),
            Some(text) if text.starts_with("--set=") => set.extend(text.strip_prefix("--set=")),
            _ => others.push(argument.clone()),
        }
    }
    match (&verbs[..], &set[..]) {
        ([], []) if others.iter().all(|other| other.as_encoded_bytes().starts_with(b"-")) => None,
        ([], []) => Some(line("edit", others)),
        ([verb], []) => Some(line(verb, others)),
        ([], [set]) => {
            let end = set.find(END_OF_PATH)? + 1;
            others.extend([OsString::from("--"), set[..end].into(), set[end..].trim_start().into()]);
            Some(line("set", others))
        }
        _ => None,
    }
}

fn line(verb: &str, others: Vec<OsString>) -> Vec<OsString> {
    std::iter::once(OsString::from(verb)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_without_a_verb_get_the_one_that_they_mean() {
        let cases = [
            ("sops a.yaml", "sops edit a.yaml"),
            ("sops --config c a.yaml", "sops edit --config c a.yaml"),
            ("sops -d a.yaml", "sops decrypt a.yaml"),
            ("sops --decrypt -i --output-type json a.yaml", "sops decrypt -i --output-type json a.yaml"),
            ("sops -e --age age1 a.yaml", "sops encrypt --age age1 a.yaml"),
            ("sops -r -i a.yaml", "sops rotate -i a.yaml"),
            ("sops -d -e a.yaml", "sops -d -e a.yaml"),
            ("sops decrypt a.yaml", "sops decrypt a.yaml"),
            ("sops --indent 2 decrypt a.yaml", "sops --indent 2 decrypt a.yaml"),
            ("sops --help", "sops --help"),
            ("sops", "sops"),
            ("helm -d a", "helm -d a"),
        ];
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (given, wanted) in cases {
            assert_eq!(with_verb(words(&format!("lockstep {given}"))), words(&format!("lockstep {wanted}")), "{given}");
        }
        let given = ["lockstep", "sops", "--set", r#"["a"][0] "b c""#, "a.yaml"].map(OsString::from).to_vec();
        let wanted = ["lockstep", "sops", "set", "a.yaml", "--", r#"["a"][0]"#, r#""b c""#].map(OsString::from);
        assert_eq!(with_verb(given), wanted);
    }
}
