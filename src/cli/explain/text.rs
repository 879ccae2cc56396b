//! The account for a person.

use std::fmt::Write as _;

use super::account::{Account, Input, Parcel, Told};

/// The account as text.
pub(super) fn text(account: &Account) -> String {
    let mut out = String::new();
    line(&mut out, &account.unit);
    if let Some(agent) = &account.agent {
        line(&mut out, &format!("  agent: {agent}"));
    }
    let since = account.since.as_ref().map(|since| format!(", for {since}")).unwrap_or_default();
    line(&mut out, &format!("  ready: {} {}{since}", account.ready, account.reason));
    for part in account.message.lines() {
        line(&mut out, &format!("    {part}"));
    }
    if let Some(source) = &account.source {
        let revision = source.revision.as_deref().unwrap_or("nothing yet");
        line(&mut out, &format!("  source: {}, ready: {}, has {revision}", source.name, source.ready));
        if source.ready != "True" {
            line(&mut out, &format!("    {}", source.message));
        }
    }
    for (title, revision) in [("applied", &account.last_applied), ("attempted", &account.last_attempted)] {
        if let Some(revision) = revision {
            line(&mut out, &format!("  last {title}: {revision}"));
        }
    }
    list(
        &mut out,
        "depends on",
        account
            .depends_on
            .iter()
            .map(|dependency| format!("{}, ready: {}: {}", dependency.name, dependency.ready, dependency.message)),
    );
    journal(&mut out, &account.journal);
    line(&mut out, &format!("  next: {}", account.next));
    list(&mut out, "what to do", account.what_to_do.iter().cloned());
    out
}

fn journal(out: &mut String, told: &Told) {
    if let Some(why) = &told.unreadable {
        line(out, &format!("  journal: cannot be read, so that inputs and attempts are not told: {why}"));
        return;
    }
    let whole =
        told.landed.as_deref().unwrap_or(if told.partly.is_some() { "nothing whole yet" } else { "nothing yet" });
    line(out, &format!("  landed: {whole}"));
    if let Some(partly) = &told.partly {
        line(out, &format!("    and {} but for {}", partly.revision, partly.without.join(", ")));
    }
    if let Some(open) = &told.open {
        line(out, &format!("  open: {}: {}", open.revision, open.phase));
        list(out, "waits for", open.awaited.iter().cloned());
    }
    if let Some(attempt) = &told.attempt {
        let kind = if attempt.transient { "may pass by itself" } else { "needs another input" };
        line(out, &format!("  failed: {} in {}, {kind}", attempt.revision, attempt.step));
        attempt.causes.iter().for_each(|cause| line(out, &format!("    {cause}")));
    }
    list(out, "inputs", told.inputs.iter().map(input));
    list(out, "parcels", told.parcels.iter().map(parcel));
    list(
        out,
        "objects",
        told.objects.iter().map(|part| format!("{} {} (proof: {})", part.name, part.action, part.proof)),
    );
    list(
        out,
        "restarted with it",
        told.guests
            .iter()
            .map(|guest| format!("{} of {}, which reads {}", guest.name, guest.unit, guest.secrets.join(", "))),
    );
}

fn input(input: &Input) -> String {
    let at = if input.version.is_empty() { String::new() } else { format!(" at {}", input.version) };
    format!("{}{at}: {}", input.name, input.now)
}

fn parcel(parcel: &Parcel) -> String {
    let held = if parcel.held { ", held at what landed before" } else { "" };
    let needs = if parcel.needs.is_empty() { String::new() } else { format!(", needs {}", parcel.needs.join(", ")) };
    let others = parcel.members.iter().filter(|member| **member != parcel.name);
    let others: Vec<&str> = others.map(String::as_str).collect();
    let with = if others.is_empty() { String::new() } else { format!(" with {}", others.join(", ")) };
    format!("{}{with}{needs}{held}", parcel.name)
}

fn list(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        line(out, &format!("  {title}:"));
    }
    lines.for_each(|text| line(out, &format!("    {text}")));
}

fn line(out: &mut String, text: &str) {
    // A String takes everything.
    let _ = writeln!(out, "{}", text.trim_end());
}
