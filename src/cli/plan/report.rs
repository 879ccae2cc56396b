//! How plans are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use apply::parcels::edges::api_of;
use apply::plan::{Change, Step};
use apply::report::Step as At;
use apply::{Action, Declarer, FieldChange, Landing, Outlook, Parcel, Prepared, Proof, order};
use manifest::{Gvk, ObjectId, Origin};
use serde_json::{Value, json};

use super::unit::{Fate, Issue, Leaving, Planned};
use crate::redact::Redactor;
use crate::unit::Unit;

/// Longest value that is shown, in characters.
const LONGEST: usize = 120;

/// What comes of all plans.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Unchanged,
    Changes,
    Fails,
}

/// What comes of all plans together.
pub(super) fn verdict(planned: &[Planned]) -> Verdict {
    let verdicts = planned.iter().map(|planned| match &planned.fate {
        Fate::Fails(_) => Verdict::Fails,
        Fate::Lands(prepared) if prepared.landing().failures.iter().any(|failure| failure.step != At::Depend) => {
            Verdict::Fails
        }
        Fate::Lands(prepared) if !prepared.landing().held.is_empty() => Verdict::Changes,
        Fate::Lands(prepared) if prepared.landing().is_empty() => Verdict::Unchanged,
        Fate::Lands(_) | Fate::Waits(_) => Verdict::Changes,
        Fate::Suspended { .. } => Verdict::Unchanged,
    });
    let rank = |verdict: &Verdict| *verdict as u8;
    verdicts.max_by_key(rank).unwrap_or(Verdict::Unchanged)
}

pub(super) fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Configure => "configure",
        Action::Unchanged => "unchanged",
        Action::Replace => "replace",
        Action::Skip => "skip",
    }
}

/// Everything for a program.
pub(super) fn value(planned: &[Planned], redactor: &Redactor) -> Value {
    let units: Vec<Value> = planned.iter().map(|planned| unit_value(planned, redactor)).collect();
    let verdict = verdict(planned);
    let mut value = json!({"changes": verdict == Verdict::Changes, "fails": verdict == Verdict::Fails, "units": units});
    redact(&mut value, redactor);
    value
}

/// Takes secrets out of all texts. What the fields are called stays.
fn redact(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.redact(text).into_owned(),
        Value::Array(list) => list.iter_mut().for_each(|element| redact(element, redactor)),
        Value::Object(map) => map.values_mut().for_each(|element| redact(element, redactor)),
        _ => {}
    }
}

fn unit_value(planned: &Planned, redactor: &Redactor) -> Value {
    let mut value =
        json!({"unit": planned.object.to_string(), "revision": planned.revision, "warnings": planned.warnings});
    let (fate, key, told) = match &planned.fate {
        Fate::Lands(prepared) => ("lands", "objects", objects(planned, prepared, redactor).collect()),
        Fate::Fails(issues) => ("fails", "problems", issues.iter().map(issue_value).collect()),
        Fate::Waits(issues) => {
            let why: Vec<String> = issues.iter().map(issue_text).collect();
            ("waits", "message", why.join("; ").into())
        }
        Fate::Suspended { is_in_git } => ("suspended", "message", Fate::suspension(*is_in_git).into()),
    };
    (value["fate"], value[key]) = (fate.into(), told);
    if let Fate::Lands(prepared) = &planned.fate {
        let landing = prepared.landing();
        value["parcels"] = landing.parcels.list().iter().map(|parcel| parcel_value(parcel, landing)).collect();
        if !landing.held.is_empty() {
            let issues: Vec<Issue> = landing.failures.iter().cloned().map(Issue::from).collect();
            let (waits, fails): (Vec<&Issue>, Vec<&Issue>) = issues.iter().partition(|issue| issue.is_passing);
            for (key, issues) in [("problems", fails), ("waits", waits)] {
                value[key] = issues.into_iter().map(issue_value).collect();
            }
            value["held"] = landing.parcels.names(&landing.held).into();
        }
    }
    value
}

fn parcel_value(parcel: &Parcel, landing: &Landing) -> Value {
    let members: Vec<String> = parcel.members.iter().map(ToString::to_string).collect();
    json!({"name": parcel.name, "members": members, "needs": landing.parcels.names(&parcel.needs)})
}

fn issue_value(issue: &Issue) -> Value {
    let place = issue.origin.as_ref();
    json!({"object": issue.id.as_ref().map(ToString::to_string), "file": place.map(|place| &place.file),
        "line": place.map(|place| place.line).filter(|line| *line > 0), "message": issue.message})
}

fn objects(planned: &Planned, prepared: &Prepared, redactor: &Redactor) -> impl Iterator<Item = Value> {
    let changes = prepared.landing().changes().map(|change| {
        let mut value = change_value(change, prepared, redactor);
        if let Some(others) = planned.beside.get(&change.desired.object.id()) {
            value["sharedWith"] = names(others).into();
            value["owner"] = (!change.desired.shared).into();
        }
        value
    });
    let leaving = planned.leaving.iter().map(|leaving| {
        let mut value = json!({"object": leaving.id.to_string(), "action": fate(leaving)});
        if !leaving.others.is_empty() {
            value["others"] = names(&leaving.others).into();
        }
        if !leaving.along.is_empty() {
            value["along"] = leaving.along.iter().map(ToString::to_string).collect::<Vec<_>>().into();
        }
        value
    });
    let left = planned.left.iter().map(|id| json!({"object": id.to_string(), "action": "leave"}));
    let hooks = prepared.landing().steps.iter().filter_map(|step| match step {
        Step::Hook(hook) => Some(json!({"object": hook.object.id().to_string(), "action": "run", "undoable": false})),
        Step::Apply(_) | Step::Put(_) | Step::Await(..) => None,
    });
    changes.chain(hooks).chain(leaving).chain(left)
}

fn names(units: &BTreeSet<Unit>) -> Vec<String> {
    units.iter().map(ToString::to_string).collect()
}

/// What becomes of an object that is not declared any more, in a word.
fn fate(leaving: &Leaving) -> &'static str {
    match leaving.outlook {
        Outlook::Deleted => "prune",
        Outlook::Unsure if leaving.others.is_empty() => "keep",
        Outlook::Theirs | Outlook::Unsure => "hand over",
        Outlook::Released => "release",
        Outlook::Absent | Outlook::Left => "leave",
    }
}

fn change_value(change: &Change, prepared: &Prepared, redactor: &Redactor) -> Value {
    let object = &change.desired.object;
    let proof = match change.proof {
        Proof::Server => "server",
        Proof::StandIn => "stand-in",
        Proof::Schema => "schema",
        Proof::None | Proof::Pending => "none",
    };
    let mut value = json!({"object": object.id().to_string(), "action": verb(change.action), "proof": proof});
    if change.is_written() {
        value["undoable"] = (change.action != Action::Replace && !runs(change)).into();
    }
    if let Some(origin) = object.origin() {
        (value["file"], value["line"]) = (origin.file.as_str().into(), origin.line.into());
    }
    if let Declarer::Release(id) | Declarer::ExternalSecret(id) | Declarer::Version(id) = &change.desired.declarer {
        value["declaredBy"] = id.to_string().into();
    }
    if change.is_written() {
        value["fields"] = fields(change, prepared, redactor).iter().map(Field::to_value).collect();
    }
    value
}

/// What becomes of one field of an object.
struct Field {
    path: String,
    change: &'static str,
    /// As JSON; not of a secret.
    from: Option<String>,
    to: Option<String>,
}

impl Field {
    fn new(path: &str, change: &FieldChange, redactor: &Redactor) -> Self {
        let (change, from, to) = match change {
            FieldChange::Added(to) => ("added", None, to.as_ref()),
            FieldChange::Removed(from) => ("removed", from.as_ref(), None),
            FieldChange::Changed(shown) => {
                ("changed", shown.as_ref().map(|(from, _)| from), shown.as_ref().map(|(_, to)| to))
            }
        };
        // Where one value holds a secret, the other held one.
        let is_secret = [from, to].into_iter().flatten().any(|text| redactor.redact(text) != text.as_str());
        let shown = |text: Option<&String>| text.filter(|_| !is_secret).cloned();
        Self { path: path.into(), change, from: shown(from), to: shown(to) }
    }

    fn to_value(&self) -> Value {
        let mut value = json!({"path": self.path, "change": self.change});
        for (key, shown) in [("from", &self.from), ("to", &self.to)] {
            if let Some(shown) = shown.as_ref().and_then(|shown| serde_json::from_str::<Value>(shown).ok()) {
                value[key] = shown;
            }
        }
        value
    }

    fn to_text(&self) -> String {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{} -> {}", short(from), short(to)),
            (Some(value), None) | (None, Some(value)) => format!("{} {}", self.change, short(value)),
            (None, None) => self.change.into(),
        }
    }
}

/// What becomes of an object's fields; of a Secret, also which values stay.
fn fields(change: &Change, prepared: &Prepared, redactor: &Redactor) -> Vec<Field> {
    let changed = prepared.diff(&change.desired.reference()).into_iter().flat_map(|diff| &diff.fields);
    let mut fields: Vec<Field> = changed.map(|(path, change)| Field::new(path, change, redactor)).collect();
    let object = &change.desired.object;
    if object.is_secret() {
        let maps = ["data", "stringData"].into_iter().filter_map(|field| object.value()[field].as_object());
        let paths: BTreeSet<String> = maps.flat_map(|map| map.keys()).map(|key| format!("data.{key}")).collect();
        let same = paths.into_iter().filter(|path| fields.iter().all(|field| field.path != *path));
        let same: Vec<Field> = same.map(|path| Field { path, change: "same", from: None, to: None }).collect();
        fields.extend(same);
    }
    fields
}

/// Everything for a person.
pub(super) fn text(planned: &[Planned], redactor: &Redactor) -> String {
    let mut text = String::new();
    for planned in planned {
        let bold = Style::new().bold();
        let at = if planned.revision.is_empty() { String::new() } else { format!(" at {}", planned.revision) };
        line(&mut text, &format!("{bold}{}{bold:#}{at}", planned.object));
        for warning in &planned.warnings {
            line(&mut text, &painted(AnsiColor::Yellow, "!", warning));
        }
        match &planned.fate {
            Fate::Lands(prepared) => landing(&mut text, planned, prepared, redactor),
            Fate::Fails(issues) => issues.iter().for_each(|issue| line(&mut text, &painted_issue(issue))),
            Fate::Waits(issues) => issues.iter().for_each(|issue| line(&mut text, &waiting(issue))),
            Fate::Suspended { is_in_git } => line(&mut text, &format!("  {}", Fate::suspension(*is_in_git))),
        }
        text.push('\n');
    }
    redactor.redact(&text).into_owned()
}

pub(super) fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

pub(super) fn painted(colour: AnsiColor, sign: &str, what: &str) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    format!("  {style}{sign}{style:#} {what}")
}

/// Place, object, message, as the agent's statuses have them.
pub(super) fn issue_text(issue: &Issue) -> String {
    let place = issue.origin.as_ref().map(|origin| format!("{origin}: ")).unwrap_or_default();
    let id = issue.id.as_ref().map(ObjectId::to_string).filter(|id| !issue.message.contains(id.as_str()));
    format!("{place}{}{}", id.map(|id| format!("{id}: ")).unwrap_or_default(), issue.message)
}

/// What waits for another unit is no fault.
pub(super) fn waiting(issue: &Issue) -> String {
    painted(AnsiColor::Yellow, "…", &issue_text(issue))
}

pub(super) fn painted_issue(issue: &Issue) -> String {
    if issue.is_passing { waiting(issue) } else { painted(AnsiColor::Red, "✗", &issue_text(issue)) }
}

fn landing(text: &mut String, planned: &Planned, prepared: &Prepared, redactor: &Redactor) {
    let landing = prepared.landing();
    for failure in &landing.failures {
        line(text, &painted_issue(&Issue::from(failure.clone())));
    }
    if !landing.held.is_empty() {
        let names = landing.parcels.names(&landing.held).join(", ");
        line(text, &painted(AnsiColor::Yellow, "!", &format!("held, and the others land: {names}")));
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in &prepared.landing().steps {
        match step {
            Step::Apply(change) => {
                *counts.entry(verb(change.action)).or_default() += 1;
                if change.is_written() {
                    written(text, change, prepared, redactor);
                }
            }
            Step::Hook(hook) => {
                let what = format!(
                    "{} runs, as a hook of its chart (not fully undoable: what it does stays)",
                    hook.object.id()
                );
                line(text, &painted(AnsiColor::Yellow, "!", &what));
            }
            Step::Put(_) | Step::Await(..) => {}
        }
    }
    for change in landing.changes() {
        let id = change.desired.object.id();
        let Some(others) = planned.beside.get(&id) else { continue };
        let whose = if change.desired.shared { "owned by" } else { "shared with" };
        line(text, &painted(AnsiColor::Yellow, "=", &format!("{id} is {whose} {}", names(others).join(", "))));
    }
    for leaving in &planned.leaving {
        *counts.entry(fate(leaving)).or_default() += 1;
        line(text, &left(leaving));
    }
    for id in &planned.left {
        *counts.entry("leave").or_default() += 1;
        line(
            text,
            &painted(AnsiColor::Yellow, "=", &format!("{id} is left: nobody declares it any more, and prune is false")),
        );
    }
    let counts: Vec<String> = counts.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
    line(text, &format!("  {}", if counts.is_empty() { "nothing".into() } else { counts.join(", ") }));
}

/// What becomes of an object that is not declared any more.
fn left(leaving: &Leaving) -> String {
    let (id, others) = (&leaving.id, names(&leaving.others).join(", "));
    let what = match leaving.outlook {
        Outlook::Deleted => return painted(AnsiColor::Red, "-", &(id.to_string() + &along(&leaving.along))),
        Outlook::Unsure if others.is_empty() => format!("{id} stays until it is known whether another unit wants it"),
        Outlook::Theirs | Outlook::Unsure => format!("{id} is handed over to {others}"),
        Outlook::Released => format!("{id} stays with its owner, without what was added to it"),
        Outlook::Left => format!("{id} stays: it is not of this unit any more, or asks for it"),
        Outlook::Absent => format!("{id} is not there any more"),
    };
    painted(AnsiColor::Yellow, "=", &what)
}

/// Objects that are named of those that go along.
const NAMED: usize = 10;

/// What goes with a Kustomization, first what cannot be had back. One that comes in its place takes over what it wants of it.
fn along(ids: &[ObjectId]) -> String {
    let gvk = |id: &ObjectId| Gvk { group: id.group.clone(), version: String::new(), kind: id.kind.clone() };
    let mut ids: Vec<&ObjectId> = ids.iter().collect();
    ids.sort_by_cached_key(|id| (!order::is_irreplaceable(&gvk(id)), id.to_string()));
    let mut names: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    match ids.len() {
        0 => return String::new(),
        count if count > NAMED => names.push(format!("{} more", count - NAMED)),
        _ => {}
    }
    format!(" and with it, unless another unit of this revision wants it: {}", names.join(", "))
}

fn written(text: &mut String, change: &Change, prepared: &Prepared, redactor: &Redactor) {
    let object = &change.desired.object;
    let (sign, colour) = match change.action {
        Action::Create => ("+", AnsiColor::Green),
        Action::Replace => ("±", AnsiColor::Red),
        _ => ("~", AnsiColor::Yellow),
    };
    let dim = Style::new().dimmed();
    let place = object.origin().map(Origin::to_string).unwrap_or_default();
    let is_api = |other: &Change| other.desired.object.kind() == "APIService";
    let mut apis = prepared.landing().changes().filter(|other| is_api(other)).map(|api| api.desired.object.name());
    let note = match change.proof {
        _ if change.action == Action::Replace => " (not fully undoable: it is deleted and made anew)",
        _ if runs(change) => " (not fully undoable: what a Job does stays)",
        Proof::None if apis.any(|api| api == api_of(&object.gvk())) => {
            " (not tried: what serves its kind comes with it)"
        }
        Proof::Server | Proof::StandIn => "",
        Proof::Schema => " (not tried: its kind comes with it)",
        Proof::None | Proof::Pending => " (not tried: the server admits no dry run)",
    };
    line(text, &painted(colour, sign, &format!("{} {dim}{place}{note}{dim:#}", object.id())));
    // All fields of a new object are new; of a Secret, which keys it will have tells something.
    let is_told =
        |field: &Field| change.action != Action::Create || object.is_secret() && field.path.starts_with("data.");
    for field in fields(change, prepared, redactor).iter().filter(|field| is_told(field)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "      {}: {}", field.path, field.to_text());
    }
}

/// Whether it begins a Job.
fn runs(change: &Change) -> bool {
    let gvk = change.desired.object.gvk();
    change.action == Action::Create && (gvk.group.as_str(), gvk.kind.as_str()) == ("batch", "Job")
}

fn short(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
