//! The hashes and names that External Secrets writes, so that each tool finds the other's Secrets in order.
//!
//! A hash is the hexadecimal SHA3-224 of what Go prints for `%+v` of a value.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha3::{Digest as _, Sha3_224};

use super::Data;

/// Hash of a Secret's data, written as annotation `reconcile.external-secrets.io/data-hash`.
pub fn data(data: &Data) -> String {
    let mut hasher = Sha3_224::new();
    hasher.update("map[");
    for (index, (key, value)) in data.iter().enumerate() {
        if index > 0 {
            hasher.update(" ");
        }
        hasher.update(key);
        hasher.update(":");
        bytes(&mut hasher, value);
    }
    hasher.update("]");
    hex(hasher)
}

/// `[104 105]`, without ever holding the text as a whole.
fn bytes(hasher: &mut Sha3_224, value: &[u8]) {
    let mut digits = zeroize::Zeroizing::new(String::with_capacity(3));
    hasher.update("[");
    for (index, byte) in value.iter().enumerate() {
        if index > 0 {
            hasher.update(" ");
        }
        digits.clear();
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte}");
        hasher.update(digits.as_bytes());
    }
    hasher.update("]");
}

/// Hash of an ExternalSecret's namespace and name, written as label `reconcile.external-secrets.io/created-by`.
pub fn owner(namespace: &str, name: &str) -> String {
    text(&format!("{namespace}/{name}"))
}

/// What `status.syncedResourceVersion` holds after a sync: any change of spec, labels or annotations changes it.
pub fn resource_version(
    generation: i64,
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> String {
    let printed = format!("{{annotations:{} labels:{}}}", go_map(annotations), go_map(labels));
    format!("{generation}-{}", text(&printed))
}

/// The field manager that External Secrets writes a Secret with.
pub fn field_manager(name: &str) -> String {
    const LABEL_LIMIT: usize = 63;
    let manager = format!("externalsecrets.external-secrets.io/{name}");
    if manager.len() <= LABEL_LIMIT {
        return manager;
    }
    format!("externalsecrets.external-secrets.io/sha3/{}", text(name))
}

fn go_map(map: &BTreeMap<String, String>) -> String {
    let members: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("map[{}]", members.join(" "))
}

/// Hash of a text.
pub(super) fn text(text: &str) -> String {
    hex(Sha3_224::new_with_prefix(text))
}

fn hex(hasher: Sha3_224) -> String {
    hasher.finalize().iter().fold(String::with_capacity(56), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(members: &[(&str, &str)]) -> BTreeMap<String, String> {
        members.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    // Expected values: Go 1.26.8, fmt.Sprintf("%x", sha3.Sum224([]byte(fmt.Sprintf("%+v", value)))).

    #[test]
    fn data_hash_is_that_of_go() {
        let secret: Data = [("b", b"hi".to_vec()), ("a", Vec::new()), ("a.b", vec![0, 255])]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        assert_eq!(data(&secret), "9c2721157f1398baac4bb2bf1ad69f71bcc2d4708eb00311e9275f36");
        assert_eq!(data(&Data::new()), "74a974446e359fb3e6baff9bd0058950e6edd0f040888d9989b0a11b");
    }

    #[test]
    fn owner_hash_is_that_of_go() {
        assert_eq!(owner("apps", "db"), "366940a0bb1765c3baf51df691ce5179c77b40d88cdd8afe4c21c09f");
    }

    #[test]
    fn resource_version_is_that_of_go() {
        assert_eq!(
            resource_version(3, &map(&[("force-sync", "1"), ("a/b", "x y")]), &map(&[("app", "web"), ("A", "")])),
            "3-8bbf8390e786ecc407454340b910eeaa3d0b5c891b149e2edc5fca76"
        );
        assert_eq!(
            resource_version(0, &map(&[]), &map(&[])),
            "0-f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2"
        );
    }

    #[test]
    fn a_field_manager_that_is_too_long_is_hashed() {
        assert_eq!(field_manager("db"), "externalsecrets.external-secrets.io/db");
        assert_eq!(
            field_manager("an-external-secret-with-a-name-of-forty-seven-by"),
            "externalsecrets.external-secrets.io/sha3/2ecb1bbaebe0903a823dd694c2150cf29f29646575cc2576c3d7b44b"
        );
    }
}
