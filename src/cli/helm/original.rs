//! Flags of the original that are none of ours: those that change nothing where nothing is fetched and no cluster is
//! asked, and those that are refused with a reason, not as if nobody had heard of them.

use anyhow::bail;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// A flag: its name, whether it takes a value, and why it is refused, if it is.
type Flag = (&'static str, Takes, Option<&'static str>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Nothing, or behind a `=`.
    Nothing,
    Value,
}
use Takes::{Nothing, Value};

/// Of every verb: how the original reaches a cluster, keeps what it fetched, and looks.
const OF_ALL: &[Flag] = &[
    ("burst-limit", Value, None),
    ("color", Value, None),
    ("colour", Value, None),
    ("content-cache", Value, None),
    ("kube-apiserver", Value, None),
    ("kube-as-group", Value, None),
    ("kube-as-user", Value, None),
    ("kube-ca-file", Value, None),
    ("kube-context", Value, None),
    ("kube-insecure-skip-tls-verify", Nothing, None),
    ("kube-tls-server-name", Value, None),
    ("kube-token", Value, None),
    ("kubeconfig", Value, None),
    ("qps", Value, None),
    ("registry-config", Value, None),
    ("repository-cache", Value, None),
    ("repository-config", Value, None),
];

/// Where a chart is fetched from; of one on the disk the original heeds none of them but those that are refused.
const OF_CHARTS: &[Flag] = &[
    ("ca-file", Value, None),
    ("cert-file", Value, None),
    ("devel", Nothing, None),
    ("insecure-skip-tls-verify", Nothing, None),
    ("key-file", Value, None),
    ("keyring", Value, None),
    ("pass-credentials", Nothing, None),
    ("password", Value, None),
    ("plain-http", Nothing, None),
    ("repo", Value, Some(NOT_FETCHED)),
    ("username", Value, None),
    ("verify", Nothing, Some("signatures of charts are not looked at: `helm verify` does that")),
    ("version", Value, None),
];

/// How a release is installed, which `template` does not do.
const OF_INSTALLATIONS: &[Flag] = &[
    ("atomic", Nothing, None),
    ("create-namespace", Nothing, None),
    ("dependency-update", Nothing, None),
    ("description", Value, None),
    ("disable-openapi-validation", Nothing, None),
    ("enable-dns", Nothing, Some("no names are looked up: `getHostByName` gives nothing, as without the flag")),
    ("force", Nothing, None),
    ("force-conflicts", Nothing, None),
    ("force-replace", Nothing, None),
    ("hide-notes", Nothing, None),
    ("labels", Value, None),
    ("post-renderer", Value, Some(NO_PROGRAMS)),
    ("post-renderer-args", Value, Some(NO_PROGRAMS)),
    ("render-subchart-notes", Nothing, None),
    ("replace", Nothing, None),
    ("rollback-on-failure", Nothing, None),
    ("server-side", Nothing, None),
    ("take-ownership", Nothing, None),
    ("timeout", Value, None),
    ("validate", Nothing, Some(NO_CLUSTER)),
    ("wait", Nothing, None),
    ("wait-for-jobs", Nothing, None),
];

const NOT_FETCHED: &str =
    "charts are not fetched: `helm pull --untar` and `helm dependency build` put them on the disk";
const NO_PROGRAMS: &str =
    "programs are not run: give the output to the post-renderer, `lockstep helm template ... | program`";
const NO_CLUSTER: &str = "a chart is rendered without a cluster: `lockstep plan` asks one what it would take";

/// Of `show values`, and of no use to the rest of `show`.
const OF_VALUES: &[Flag] = &[("jsonpath", Value, Some("print the values whole, and search them with `yq`"))];

fn argument(&(name, takes, _): &Flag) -> Arg {
    let flag = Arg::new(name).long(name).hide(true).action(ArgAction::Append);
    let flag = if name == "labels" { flag.short('l') } else { flag };
    let flag = flag.global(OF_ALL.iter().any(|(of_all, ..)| *of_all == name));
    match takes {
        Value => flag.allow_hyphen_values(true),
        Nothing => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

fn check(flags: &[Flag], given: &ArgMatches) -> Result<(), Error> {
    let is_given = |name| given.value_source(name) == Some(ValueSource::CommandLine);
    let refused =
        flags.iter().find_map(|(name, _, reason)| Some((name, (*reason)?)).filter(|(name, _)| is_given(name)));
    match refused {
        Some((name, reason)) => {
            Err(Error::raw(clap::error::ErrorKind::ValueValidation, format!("--{name}: {reason}\n")))
        }
        None => Ok(()),
    }
}

/// Flags that are read for the original's sake.
macro_rules! unheeded {
    ($(#[$about:meta] $name:ident: $flags:expr;)*) => {$(
        #[$about]
        pub(super) struct $name;

        impl FromArgMatches for $name {
            fn from_arg_matches(given: &ArgMatches) -> Result<Self, Error> {
                check($flags, given).map(|()| Self)
            }

            fn update_from_arg_matches(&mut self, given: &ArgMatches) -> Result<(), Error> {
                check($flags, given)
            }
        }

        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                command.args($flags.iter().map(argument))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }
    )*};
}
unheeded! {
    #[doc = "Flags of every verb."]
    OfAll: OF_ALL;
    #[doc = "Flags of verbs that may fetch a chart."]
    OfCharts: OF_CHARTS;
    #[doc = "Flags of an installation."]
    OfInstallations: OF_INSTALLATIONS;
    #[doc = "Flags of `show values`."]
    OfValues: OF_VALUES;
}

/// What `--dry-run` may say here: a chart is always rendered dry.
pub(super) fn check_dry_run(given: Option<&str>) -> anyhow::Result<()> {
    match given {
        None | Some("client" | "unset") => Ok(()),
        Some("server") => bail!("--dry-run: {NO_CLUSTER}"),
        Some("none") => bail!("invalid dry-run value (\"none\"). Must be \"server\" or \"client\""),
        Some(other) => match truth(other) {
            Ok(true) => Ok(()),
            Ok(false) => bail!("invalid dry-run value (\"{other}\"). Must be \"server\" or \"client\""),
            Err(_) => bail!("invalid dry-run value (\"{other}\"). Must be \"none\", \"server\", or \"client\""),
        },
    }
}

/// Lets every switch be given a value behind a `=`, as in Go.
pub(super) fn with_values(switch: Arg) -> Arg {
    if !matches!(switch.get_action(), ArgAction::SetTrue) {
        return switch;
    }
    let switch = switch.action(ArgAction::Set).num_args(0..=1).require_equals(true).hide_possible_values(true);
    switch.default_missing_value("true").default_value("false").hide_default_value(true).value_parser(truth)
}

/// Go's `strconv.ParseBool`.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("strconv.ParseBool: parsing {other:?}: invalid syntax")),
    }
}

/// What the original says of a flag that nobody knows.
pub(in crate::cli) fn unknown_flag(flag: &str) -> String {
    match (flag.strip_prefix("--"), flag.chars().nth(1)) {
        (None, Some(letter)) => format!("unknown shorthand flag: {letter:?} in {flag}"),
        _ => format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag)),
    }
}
