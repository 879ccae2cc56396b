//! Names of objects by kind, and what Kubernetes says of others.

/// What is wrong with a name of a kind.
pub(super) fn problems(kind: &str, name: &str) -> Vec<String> {
    match kind.to_ascii_lowercase().as_str() {
        "service" => label(name, Start::Letter),
        "namespace" => label(name, Start::LetterOrDigit),
        "certificatesigningrequest" => Vec::new(),
        "role" | "clusterrole" | "rolebinding" | "clusterrolebinding" => path_segment(name),
        _ => subdomain(name),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Start {
    Letter,
    LetterOrDigit,
}

fn is_label(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(is_good) && !name.starts_with('-') && !name.ends_with('-')
}

fn too_long(name: &str, most: usize) -> Option<String> {
    (name.len() > most).then(|| format!("must be no more than {most} characters"))
}

fn subdomain(name: &str) -> Vec<String> {
    let form = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let wrong = !name.split('.').all(is_label);
    too_long(name, 253).into_iter().chain(wrong.then(|| form.to_owned())).collect()
}

fn label(name: &str, start: Start) -> Vec<String> {
    let form = match start {
        Start::Letter => {
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        }
        Start::LetterOrDigit => {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        }
    };
    let begins = start == Start::LetterOrDigit || name.starts_with(|c: char| c.is_ascii_lowercase());
    let wrong = !(is_label(name) && begins);
    too_long(name, 63).into_iter().chain(wrong.then(|| form.to_owned())).collect()
}

fn path_segment(name: &str) -> Vec<String> {
    match name {
        "." | ".." => vec![format!("may not be '{name}'")],
        _ => ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect(),
    }
}
