//! Which values of a document are encrypted.

use regexp::Regex;

use crate::text::Text;

/// A document has exactly one rule that selects its encrypted values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// All but what stands below a key with this suffix.
    UnencryptedSuffix,
    /// What stands below a key with this suffix.
    EncryptedSuffix,
    /// All but what stands below a key that the expression matches.
    UnencryptedRegex,
    /// What stands below a key that the expression matches.
    EncryptedRegex,
    /// All but what a matching comment precedes.
    UnencryptedCommentRegex,
    /// What a matching comment precedes.
    EncryptedCommentRegex,
}

impl RuleKind {
    /// In the order in which sops names them.
    pub(crate) const ALL: [RuleKind; 6] = [
        RuleKind::UnencryptedSuffix,
        RuleKind::EncryptedSuffix,
        RuleKind::UnencryptedRegex,
        RuleKind::EncryptedRegex,
        RuleKind::UnencryptedCommentRegex,
        RuleKind::EncryptedCommentRegex,
    ];

    /// The field of the metadata.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            RuleKind::UnencryptedSuffix => "unencrypted_suffix",
            RuleKind::EncryptedSuffix => "encrypted_suffix",
            RuleKind::UnencryptedRegex => "unencrypted_regex",
            RuleKind::EncryptedRegex => "encrypted_regex",
            RuleKind::UnencryptedCommentRegex => "unencrypted_comment_regex",
            RuleKind::EncryptedCommentRegex => "encrypted_comment_regex",
        }
    }
}

/// A rule and its suffix or expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What the text means.
    pub kind: RuleKind,
    /// The suffix or regular expression.
    pub text: String,
}

impl Default for Rule {
    /// What sops does when nothing is said: keys that end with `_unencrypted` stay open.
    fn default() -> Self {
        Rule { kind: RuleKind::UnencryptedSuffix, text: "_unencrypted".to_owned() }
    }
}

/// A rule, ready to be asked.
pub(crate) struct Selection {
    test: Test,
    /// Whether what matches is encrypted, or all else.
    encrypts: bool,
}

enum Test {
    KeySuffix(Vec<u8>),
    Key(Pattern),
    Comment(Pattern),
}

/// An expression; one that cannot be compiled matches nothing, as where sops overlooks the error.
struct Pattern(Option<Regex>);

impl Pattern {
    fn new(expression: &str) -> Self {
        Pattern(Regex::new(expression).ok())
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(&String::from_utf8_lossy(text)))
    }
}

/// The comments above the current entry of one collection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Remarks {
    earlier: bool,
    last: bool,
}

impl Remarks {
    fn any(self) -> bool {
        self.earlier || self.last
    }
}

impl Selection {
    /// As in the original an expression that cannot be compiled matches nothing.
    pub(crate) fn new(rule: &Rule) -> Self {
        use RuleKind::{EncryptedCommentRegex, EncryptedRegex, EncryptedSuffix};
        let test = match rule.kind {
            RuleKind::UnencryptedSuffix | EncryptedSuffix => Test::KeySuffix(rule.text.clone().into_bytes()),
            RuleKind::UnencryptedRegex | EncryptedRegex => Test::Key(Pattern::new(&rule.text)),
            RuleKind::UnencryptedCommentRegex | EncryptedCommentRegex => Test::Comment(Pattern::new(&rule.text)),
        };
        let encrypts = matches!(rule.kind, EncryptedSuffix | EncryptedRegex | EncryptedCommentRegex);
        Selection { test, encrypts }
    }

    /// Whether the rule goes by this key.
    pub(crate) fn matches_key(&self, key: &Text) -> bool {
        match &self.test {
            Test::KeySuffix(suffix) => key.bytes().ends_with(suffix),
            Test::Key(pattern) => pattern.matches(key.bytes()),
            Test::Comment(_) => false,
        }
    }

    /// Takes note of a comment, as it stands in the file.
    pub(crate) fn remark(&self, remarks: &mut Remarks, comment: &Text) {
        remarks.earlier = remarks.any();
        remarks.last = matches!(&self.test, Test::Comment(pattern) if pattern.matches(comment.bytes()));
    }

    /// Whether a value is encrypted, given whether a key above it matched, and the comments of the collections around
    /// it, outermost first. A comment that asks for encryption stays open itself.
    pub(crate) fn selects(&self, key_matched: bool, remarks: &[Remarks], is_comment: bool) -> bool {
        let matched = match &self.test {
            Test::KeySuffix(_) | Test::Key(_) => key_matched,
            Test::Comment(_) => match remarks.split_last() {
                Some((own, around)) if is_comment && self.encrypts => {
                    own.earlier || around.iter().any(|remarks| remarks.any())
                }
                _ => remarks.iter().any(|remarks| remarks.any()),
            },
        };
        matched == self.encrypts
    }

    /// Whether an encrypted comment would itself be taken for one that asks to stay open: such a file could not be
    /// opened again.
    pub(crate) fn mistakes(&self, sealed: &Text) -> bool {
        !self.encrypts && matches!(&self.test, Test::Comment(pattern) if pattern.matches(sealed.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_those_of_go_and_one_that_is_none_matches_nothing() {
        for (expression, text, matches) in [
            ("^(data|stringData)$", "data", true),
            ("^(data|stringData)$", "metadata", false),
            (r"^\d+$", "\u{0663}", false),
            (r"^\Qa.b", "a.bc", true),
            ("(?i)^KEY$", "key", true),
            ("(", "(", false),
            ("a{1000}{1000}{1000}", "a", false),
        ] {
            assert_eq!(Pattern::new(expression).matches(text.as_bytes()), matches, "{expression} on {text}");
        }
    }
}
