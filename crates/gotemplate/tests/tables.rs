//! The corpus' tables of Go's template language and of what Go's libraries decide.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a case that cannot be read stops the test")]

#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "tables/values.rs"]
mod values;

use std::io::Read as _;

use base64::Engine as _;
use go::semver::{self, Version};
use gotemplate::{Functions, Limits, MissingKey, Session, Still, Templates, Value, go};
use serde_json::{Value as Json, json};

/// A case that differs on purpose, and why.
type Difference = (&'static str, &'static str);

/// The lines of a table; nothing on a checkout without the corpus.
fn table(name: &str) -> Option<Vec<Json>> {
    let path = corpus::corpus(&format!("tables/{name}"))?;
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Runs every case of a table; `run` gives what the case gives, `expected` what it should.
fn check(suite: &str, name: &str, differences: &[Difference], run: impl Fn(&Json) -> Result<(), String>) {
    let Some(cases) = table(name) else { return };
    let (mut failed, mut different) = (Vec::new(), 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case)));
        let result = result.unwrap_or_else(|_| Err("panicked".into()));
        let is_known = differences.iter().any(|(known, _)| *known == id);
        match result {
            Err(_) if is_known => different += 1,
            Err(message) => failed.push(format!("{id}: {message}")),
            Ok(()) if is_known => failed.push(format!("{id}: is no difference any more")),
            Ok(()) => {}
        }
    }
    corpus::report_besides(&format!("tables/{suite}"), cases.len(), &failed, different);
}

fn text<'a>(case: &'a Json, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_default()
}

/// Compares an output or an error with the case's.
fn compare(case: &Json, got: Result<Vec<u8>, String>) -> Result<(), String> {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let wanted = match (case["out"].as_str(), case["out_b64"].as_str()) {
        (Some(out), _) => Ok(out.as_bytes().to_vec()),
        (_, Some(out)) => Ok(base64::engine::general_purpose::STANDARD.decode(out).unwrap()),
        _ => Err(text(case, "error").to_owned()),
    };
    if got == wanted {
        return Ok(());
    }
    let side = |side: &Result<Vec<u8>, String>| match side {
        Ok(out) => format!("out {:?}", show(out)),
        Err(error) => format!("error {error:?}"),
    };
    Err(format!("{} wanted {}, got {}", case["tpl"].as_str().unwrap_or_default(), side(&wanted), side(&got)))
}

fn template(case: &Json) -> Result<Vec<u8>, String> {
    let missing = match text(case, "missing") {
        "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        _ => MissingKey::Default,
    };
    let delimiter = |index: usize| case["delims"][index].as_str().unwrap_or_default();
    let mut templates =
        Templates::new("t", Functions::builtin()).missing_key(missing).delimiters(delimiter(0), delimiter(1));
    for (name, definition) in case["defs"].as_object().into_iter().flatten() {
        templates.parse(name, definition.as_str().unwrap()).map_err(|error| error.to_string())?;
    }
    templates.parse("t", text(case, "tpl")).map_err(|error| error.to_string())?;
    let data = values::decode(&case["data"], text(case, "numbers"));
    let world = Still::default();
    let mut session = Session::new(&world, Limits { depth: 60, ..Limits::default() });
    templates.execute("t", &data, &mut session).map_err(|failed| {
        if let Some(partial) = case["partial"].as_str() {
            assert_eq!(String::from_utf8_lossy(&failed.partial), partial, "partial output");
        }
        failed.error.to_string()
    })
}

/// Maps whose keys are no strings reach a template only from Go programs.
const OTHER_KEYS: &str = "a map whose keys are no strings";

/// Host objects show the fields that they choose.
const REFLECTION: &str = "Go's reflection on what a struct hides";

#[test]
fn templates_print_and_fail_as_in_go() {
    const DIFFERENCES: &[Difference] = &[
        ("rangeval-053", OTHER_KEYS),
        ("rangeval-054", OTHER_KEYS),
        ("print-027", OTHER_KEYS),
        ("rangeval-057", REFLECTION),
        ("rangeval-058", REFLECTION),
        ("struct-019", REFLECTION),
        ("struct-020", REFLECTION),
        ("struct-033", REFLECTION),
        ("struct-047", REFLECTION),
        ("struct-048", REFLECTION),
        ("struct-051", REFLECTION),
        ("tmpl-005", "the depth is a limit of the caller, far below Go's, and its error cannot be swallowed"),
    ];
    check("gotemplate", "gotemplate.jsonl.gz", DIFFERENCES, |case| compare(case, template(case)));
}

#[test]
fn comparisons_hold_and_fail_as_in_go() {
    check("gotemplate-compare", "gotemplate-compare.jsonl.gz", &[], |case| compare(case, template(case)));
}

#[test]
fn verbs_print_values_as_in_go() {
    const DIFFERENCES: &[Difference] =
        &[("fmt-051", OTHER_KEYS), ("fmt-052", OTHER_KEYS), ("govalue-027", OTHER_KEYS), ("fmt-056", REFLECTION)];
    check("gotemplate-printf", "gotemplate-printf.jsonl.gz", DIFFERENCES, |case| {
        if case["fn"] == "sprintf" {
            let arguments: Vec<Value> =
                case["args"].as_array().unwrap().iter().map(|argument| values::decode(argument, "")).collect();
            let got = go::fmt::sprintf(text(case, "fmt").as_bytes(), &arguments);
            return compare(case, Ok(got)).map_err(|message| format!("{} {message}", case["fmt"]));
        }
        let value = [values::decode(&case["data"], "")];
        for (verb, wanted) in case["out"].as_object().unwrap() {
            let got = go::fmt::sprintf(format!("%{verb}").as_bytes(), &value);
            if got != wanted.as_str().unwrap().as_bytes() {
                return Err(format!("%{verb}: wanted {wanted}, got {:?}", String::from_utf8_lossy(&got)));
            }
        }
        Ok(())
    });
}

fn same(wanted: &Json, got: &Json) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("wanted {wanted}, got {got}")) }
}

/// What a case should give, its error included.
fn expected(case: &Json) -> Json {
    if case["error"].is_null() { case["out"].clone() } else { case["error"].clone() }
}

fn constraint(case: &Json) -> Json {
    let parsed = semver::Constraint::parse(text(case, "constraint")).map_err(|error| error.to_string());
    let version = Version::parse(text(case, "version")).map_err(|error| error.to_string());
    match (parsed, version) {
        (Err(error), _) | (_, Err(error)) => error.into(),
        (Ok(parsed), Ok(version)) => {
            let why = parsed.validate(&version);
            json!({
                "check": parsed.matches(&version),
                "constraint": parsed.to_string(),
                "ok": why.is_ok(),
                "why": why.err().unwrap_or_default(),
            })
        }
    }
}

fn version(case: &Json) -> Json {
    let read = if case["strict"] == true { Version::parse_strict } else { Version::parse };
    match read(text(case, "version")) {
        Err(error) => error.to_string().into(),
        Ok(version) => json!({
            "major": version.major,
            "minor": version.minor,
            "patch": version.patch,
            "pre": version.prerelease,
            "meta": version.metadata,
            "original": version.original(),
            "string": version.to_string(),
        }),
    }
}

fn latest(case: &Json) -> Json {
    let parsed = semver::Constraint::parse(text(case, "constraint")).unwrap();
    let (mut matching, mut unparsable) = (Vec::new(), Vec::new());
    for tag in case["expr"].as_array().unwrap() {
        match Version::parse(tag.as_str().unwrap()) {
            Ok(version) if parsed.matches(&version) => matching.push(version),
            Ok(_) => {}
            Err(_) => unparsable.push(tag.clone()),
        }
    }
    matching.sort_by(|left, right| right.precedence(left));
    let matching: Vec<&str> = matching.iter().map(Version::original).collect();
    json!({"matching": matching, "unparsable": unparsable})
}

/// Versions of equal precedence in order of their text: Go's sort is not stable.
fn tied(mut lists: Json) -> Json {
    if let Some(matching) = lists.get_mut("matching").and_then(Json::as_array_mut) {
        let version = |tag: &Json| Version::parse(tag.as_str().unwrap()).unwrap();
        matching.sort_by(|a, b| version(b).precedence(&version(a)).then(a.as_str().cmp(&b.as_str())));
    }
    lists
}

#[test]
fn versions_and_constraints_are_read_as_masterminds_semver_reads_them() {
    check("semver", "semver.jsonl", &[], |case| {
        let got = match text(case, "fn") {
            "semver-constraint" => constraint(case),
            "semver-version" => {
                let mut got = version(case);
                if let (Some(other), Some(map)) = (case["other"].as_str(), got.as_object_mut()) {
                    let order =
                        Version::parse(text(case, "version")).unwrap().precedence(&Version::parse(other).unwrap());
                    map.insert("compare".into(), (order as i8).into());
                }
                got
            }
            _ => latest(case),
        };
        same(&tied(expected(case)), &tied(got))
    });
}

fn zone(case: &Json) -> go::time::Zone {
    go::time::Zone::load(text(case, "tz")).unwrap()
}

fn time(case: &Json) -> Json {
    match text(case, "fn") {
        "time-format" => {
            let nanoseconds = u32::try_from(case["n"].as_u64().unwrap()).unwrap();
            let time = go::time::Time::new(case["unix"].as_i64().unwrap(), nanoseconds, zone(case));
            time.format(text(case, "layout")).into()
        }
        "time-parse" => match go::time::parse(text(case, "layout"), text(case, "value"), &zone(case)) {
            Ok(time) => json!({
                "rfc3339": time.format("2006-01-02T15:04:05.999999999Z07:00"),
                "string": time.to_string(),
                "unix": time.unix(),
            }),
            Err(error) => error.to_string().into(),
        },
        _ => match go::duration::parse(text(case, "value")) {
            Err(error) => error.to_string().into(),
            Ok(duration) => {
                let mut got = json!({"ns": duration, "string": go::duration::to_string(duration)});
                if let Ok(other) = go::duration::parse(text(case, "other")) {
                    got["round"] = go::duration::to_string(go::duration::round(duration, other)).into();
                    got["truncate"] = go::duration::to_string(go::duration::truncate(duration, other)).into();
                }
                got
            }
        },
    }
}

#[test]
fn times_and_durations_read_and_print_as_in_go() {
    const PACKRAT: &str = "before 1970 the database that is compiled in has Amsterdam share the clock of Brussels";
    const DIFFERENCES: &[Difference] =
        &[("format-004", PACKRAT), ("format-029", PACKRAT), ("format-054", PACKRAT), ("format-104", PACKRAT)];
    check("time", "time.jsonl", DIFFERENCES, |case| {
        let (mut wanted, mut got) = (expected(case), time(case));
        for side in [&mut wanted, &mut got] {
            if let Some(map) = side.as_object_mut() {
                map.remove("seconds");
            }
        }
        same(&wanted, &got)
    });
}

fn expression(case: &Json) -> Json {
    let (input, limit) = (text(case, "s"), case["n"].as_i64().unwrap_or(-1));
    let regex = match go::regex::Regex::new(text(case, "re")) {
        Ok(regex) => regex,
        Err(error) => return error.to_string().into(),
    };
    let all = regex.find_all(input, limit);
    match text(case, "op") {
        "findall" if all.is_empty() => Json::Null,
        "findall" => all.iter().map(|(start, end)| &input[*start..*end]).collect::<Vec<_>>().into(),
        "index" if all.is_empty() => Json::Null,
        "index" => json!(all),
        "split" => json!(regex.split(input, limit)),
        "replace" => regex.replace_all(input, text(case, "repl")).into(),
        _ => json!({"names": regex.names(), "sub": regex.groups(input)}),
    }
}

#[test]
fn expressions_match_as_in_go() {
    check("regex", "regex.jsonl", &[], |case| {
        same(&expected(case), &expression(case)).map_err(|message| format!("{} {message}", case["re"]))
    });
}

/// The keys of sprig 3.3.0's `genericMap`.
const SPRIG: &str = "\
abbrev abbrevboth add add1 add1f addf adler32sum ago all any append atoi b32dec b32enc b64dec b64enc base \
bcrypt biggest buildCustomCert camelcase cat ceil chunk clean coalesce compact concat contains date dateInZone \
dateModify date_in_zone date_modify decryptAES deepCopy deepEqual default derivePassword dict dig dir div divf \
duration durationRound empty encryptAES env expandenv ext fail first float64 floor fromJson genCA genCAWithKey \
genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey get getHostByName \
 has hasKey hasPrefix hasSuffix hello htmlDate htmlDateInZone htpasswd indent initial initials int int64 \
isAbs join kebabcase keys kindIs kindOf last list lower max maxf merge mergeOverwrite min minf mod mul \
mulf mustAppend mustChunk mustCompact mustDateModify mustDeepCopy mustFirst mustFromJson mustHas mustInitial \
mustLast mustMerge mustMergeOverwrite mustPrepend mustPush mustRegexFind mustRegexFindAll mustRegexMatch \
mustRegexReplaceAll mustRegexReplaceAllLiteral mustRegexSplit mustRest mustReverse mustSlice mustToDate \
mustToJson mustToPrettyJson mustToRawJson mustUniq mustWithout must_date_modify nindent nospace now omit osBase \
osClean osDir osExt osIsAbs pick pluck plural prepend push quote randAlpha randAlphaNum randAscii randBytes \
randInt randNumeric regexFind regexFindAll regexMatch regexQuoteMeta regexReplaceAll regexReplaceAllLiteral \
regexSplit repeat replace rest reverse round semver semverCompare seq set sha1sum sha256sum sha512sum shuffle \
slice snakecase sortAlpha split splitList splitn squote sub subf substr swapcase ternary title toDate toDecimal \
toJson toPrettyJson toRawJson toString toStrings trim trimAll trimPrefix trimSuffix trimall trunc tuple typeIs \
typeIsLike typeOf uniq unixEpoch unset until untilStep untitle upper urlJoin urlParse uuidv4 values without \
wrap wrapWith \
";

#[test]
fn every_function_of_sprig_is_there() {
    // These read the process: Helm and External Secrets take them away.
    const OF_THE_PROCESS: [&str; 2] = ["env", "expandenv"];
    let functions = Functions::sprig();
    let missing: Vec<&str> = SPRIG.split_whitespace().filter(|name| functions.get(name).is_none()).collect();
    assert_eq!(missing, OF_THE_PROCESS);
    let builtin = Functions::builtin();
    let others: Vec<&str> = functions.names().filter(|name| builtin.get(name).is_none()).collect();
    let more: Vec<&&str> =
        others.iter().filter(|name| !SPRIG.split_whitespace().any(|known| known == **name)).collect();
    assert_eq!(more, Vec::<&&str>::new());
}
