//! What the demo tells: to a person while it goes on, to a program when it has ended.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::stage::Waiting;
use crate::redact::Redactor;

/// One thing that is claimed of a step, and what the cluster says of it.
struct Fact {
    claim: String,
    holds: bool,
}

/// One step of the story.
pub(super) struct Step {
    name: &'static str,
    title: &'static str,
    began: Instant,
    seconds: f64,
    /// Revision of the repository that it is about.
    revision: Option<String>,
    facts: Vec<Fact>,
    /// What the cluster's objects say, word for word.
    quotes: Vec<String>,
}

/// The account of the demo.
pub(super) struct Account {
    /// Told to a person as it goes on; else nothing is told before the end.
    is_live: bool,
    redactor: Redactor,
    steps: Vec<Step>,
}

impl Account {
    pub(super) fn new(is_live: bool, redactor: Redactor) -> Self {
        Self { is_live, redactor, steps: Vec::new() }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, name: &'static str, title: &'static str) {
        let number = self.steps.len() + 1;
        let bold = Style::new().bold();
        self.say(&format!("\n{bold}{number}  {title}{bold:#}"));
        let (began, facts, quotes) = (Instant::now(), Vec::new(), Vec::new());
        self.steps.push(Step { name, title, began, seconds: 0.0, revision: None, facts, quotes });
    }

    /// What a person does in this step.
    pub(super) fn does(&self, what: &str) {
        let dim = Style::new().dimmed();
        self.say(&format!("   {dim}{what}{dim:#}"));
    }

    /// The step is about a commit.
    pub(super) fn commit(&mut self, revision: &str, message: &str) {
        let short: String = revision.chars().take("main@sha1:".len() + 8).collect();
        self.does(&format!("commit {short}: {message}"));
        if let Some(step) = self.steps.last_mut() {
            step.revision = Some(revision.into());
        }
    }

    /// Something is claimed, and holds or does not.
    pub(super) fn claim(&mut self, claim: impl Into<String>, holds: bool) {
        let claim = claim.into();
        let (sign, colour) = if holds { ("✓", AnsiColor::Green) } else { ("✗", AnsiColor::Red) };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        self.say(&format!("   {style}{sign}{style:#} {claim}"));
        if let Some(step) = self.steps.last_mut() {
            step.facts.push(Fact { claim, holds });
        }
    }

    /// An object's own words.
    pub(super) fn quote(&mut self, text: &str) {
        let text = self.redactor.redact(text).into_owned();
        let style = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
        for line in text.lines() {
            self.say(&format!("     {style}{line}{style:#}"));
        }
        if let Some(step) = self.steps.last_mut() {
            step.quotes.push(text);
        }
    }

    /// Ends a step. Whether everything that it claimed holds.
    pub(super) fn end(&mut self) -> bool {
        let Some(step) = self.steps.last_mut() else { return true };
        step.seconds = step.began.elapsed().as_secs_f64();
        let (took, holds) = (step.seconds, step.facts.iter().all(|fact| fact.holds));
        self.does(&format!("{took:.1} s"));
        holds
    }

    /// Prints a line, when somebody reads along.
    pub(super) fn say(&self, text: &str) {
        if self.is_live {
            // Whoever reads may stop early.
            let _ = writeln!(anstream::stdout(), "{}", self.redactor.redact(text));
        }
    }

    /// The whole account for a program.
    pub(super) fn to_value(&self) -> Value {
        let fact = |fact: &Fact| json!({"claim": self.redactor.redact(&fact.claim), "holds": fact.holds});
        let steps = self.steps.iter().map(|step| {
            json!({
                "name": step.name,
                "title": step.title,
                "seconds": (step.seconds * 1000.0).round() / 1000.0,
                "revision": step.revision,
                "facts": step.facts.iter().map(fact).collect::<Vec<_>>(),
                "messages": step.quotes,
            })
        });
        steps.collect()
    }
}

/// Tells on a terminal what is waited for, in a line that goes away again.
pub(super) fn progress(is_live: bool) -> Waiting {
    if !is_live || !std::io::stdout().is_terminal() {
        return Box::new(|_| {});
    }
    let dim = Style::new().dimmed();
    Box::new(move |what| {
        let mut out = anstream::stdout();
        let _ = match what {
            Some(what) => write!(out, "   {dim}… {what}{dim:#}"),
            None => write!(out, "\r\x1b[K"),
        };
        let _ = out.flush();
    })
}
