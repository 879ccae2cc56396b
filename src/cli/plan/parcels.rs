//! How the parcels of a plan are drawn.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::{AnsiColor, Style};
use apply::parcels::edges::Relation;
use apply::parcels::relations;
use apply::{Landing, Parcel};
use manifest::{Object, ObjectId};

use super::report::{line, painted, painted_issue, verb, waiting};
use super::unit::{Fate, Issue, Planned};
use crate::redact::Redactor;

/// Where each object leads.
type Edges = BTreeMap<ObjectId, Vec<(Relation, ObjectId)>>;

fn edges(landing: &Landing) -> Edges {
    let objects: Vec<&Object> = landing.changes().map(|change| &change.desired.object).collect();
    let known: BTreeSet<ObjectId> = objects.iter().map(|object| object.id()).collect();
    let mut edges = Edges::new();
    for (from, relation, to) in relations(objects.into_iter(), |id| known.contains(id)) {
        edges.entry(from).or_default().push((relation, to));
    }
    edges
}

/// The parcels of all units as trees.
pub(super) fn text(planned: &[Planned], redactor: &Redactor) -> String {
    let mut text = String::new();
    for planned in planned {
        let bold = Style::new().bold();
        line(&mut text, &format!("{bold}{}{bold:#}", planned.object));
        match &planned.fate {
            Fate::Lands(prepared) => landing(&mut text, prepared.landing()),
            Fate::Fails(issues) => issues.iter().for_each(|issue| failed(&mut text, issue)),
            Fate::Waits(issues) => issues.iter().for_each(|issue| line(&mut text, &waiting(issue))),
            Fate::Suspended { is_in_git } => line(&mut text, &format!("  {}", Fate::suspension(*is_in_git))),
        }
        text.push('\n');
    }
    redactor.redact(&text).into_owned()
}

fn failed(text: &mut String, issue: &Issue) {
    line(text, &painted_issue(issue));
}

fn landing(text: &mut String, landing: &Landing) {
    landing.failures.iter().for_each(|failure| failed(text, &Issue::from(failure.clone())));
    if landing.parcels.list().is_empty() {
        line(text, "  one parcel: all of it lands together (wait, or lockstep.dev/scope: unit)");
        landing.changes().for_each(|change| {
            line(text, &format!("  ├─ {} {}", change.desired.object.id(), verb(change.action)));
        });
        return;
    }
    let edges = edges(landing);
    for (number, parcel) in landing.parcels.list().iter().enumerate() {
        let is_held = landing.held.contains(&number);
        let (sign, colour) = if is_held { ("✗", AnsiColor::Red) } else { ("▣", AnsiColor::Green) };
        let held = if is_held { ", held" } else { "" };
        let size =
            if parcel.members.len() == 1 { "1 object".into() } else { format!("{} objects", parcel.members.len()) };
        line(text, &painted(colour, sign, &format!("{} ({size}{held})", parcel.name)));
        members(text, parcel, landing, &edges);
        let needs = landing.parcels.names(&parcel.needs);
        if !needs.is_empty() {
            line(text, &format!("    needs {}", needs.join(", ")));
        }
    }
}

fn members(text: &mut String, parcel: &Parcel, landing: &Landing, edges: &Edges) {
    let actions: BTreeMap<ObjectId, &str> =
        landing.changes().map(|change| (change.desired.object.id(), verb(change.action))).collect();
    for (index, id) in parcel.members.iter().enumerate() {
        let branch = if index + 1 == parcel.members.len() { "└─" } else { "├─" };
        let action = actions.get(id).map(|action| format!(" {action}")).unwrap_or_default();
        let with = edges.get(id).into_iter().flatten().filter(|(relation, _)| *relation == Relation::BelongsWith);
        let with: Vec<String> = with.map(|(_, to)| to.to_string()).collect();
        let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
        line(text, &format!("    {branch} {id}{action}{with}"));
    }
}

/// The parcels of all units as a graph for Graphviz: what belongs with one another in a box, what depends on something by
/// a dashed arrow.
pub(super) fn dot(planned: &[Planned], redactor: &Redactor) -> String {
    let mut text = String::from("digraph parcels {\n  rankdir=LR; node [shape=box, fontsize=10]; compound=true;\n");
    for (index, planned) in planned.iter().enumerate() {
        let Fate::Lands(prepared) = &planned.fate else { continue };
        let landing = prepared.landing();
        let node = |id: &ObjectId| quoted(&format!("{index}/{id}"));
        for (number, parcel) in landing.parcels.list().iter().enumerate() {
            let colour = if landing.held.contains(&number) { "red" } else { "gray" };
            let label = quoted(&format!("{}: {}", planned.object, parcel.name));
            line(&mut text, &format!("  subgraph cluster_{index}_{number} {{ label={label}; color={colour};"));
            parcel.members.iter().for_each(|id| {
                line(&mut text, &format!("    {} [label={}];", node(id), quoted(&id.to_string())));
            });
            line(&mut text, "  }");
        }
        for (from, to) in edges(landing).iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
            let style = if to.0 == Relation::DependsOn { " [style=dashed]" } else { "" };
            line(&mut text, &format!("  {} -> {}{style};", node(from), node(&to.1)));
        }
    }
    text.push_str("}\n");
    redactor.redact(&text).into_owned()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
