//! A story for one seed: what happens to a unit, round by round, and which requests fail. All of it is data, so that it
//! can be made smaller.

use std::collections::BTreeMap;
use std::fmt;

use apply::memory::Gap;
use apply::{LandingScope, OnFailure};
use jiff::SignedDuration;

use super::dice::Dice;
use super::repository::{Edit, Flaw, Kind, NAMESPACE, Repository, Said, Thing};
use super::spoil::Spoilt;

/// What happens at the beginning of a round.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A commit.
    Commit(Vec<Edit>),
    /// The store has new bytes for a secret.
    Rotate(u32),
    /// The store says something else of a secret than before.
    Answer(u32, Said),
    /// Another manager adds a field to a thing's object.
    CoOwn(u32),
    /// Another manager overwrites a field of ours.
    Overwrite(u32),
    /// Somebody deletes a thing's object.
    Delete(u32),
    /// Somebody makes an object that a thing of this id has the name of; a later commit may add the thing.
    Occupy(Thing),
    /// Another replica takes the lease over, while this one still runs.
    TakeOver,
    /// No further Secrets fit into the namespace; or they do again.
    Quota(bool),
    /// Objects of a kind are refused from now on; or no longer.
    Policy(Option<Kind>),
    /// Somebody deletes the namespace, and `held` keeps it from going until a later [`Event::LetGo`].
    Terminate { held: bool },
    /// What holds a namespace goes.
    LetGo,
    /// All that stands in the way goes, and what is wrong is mended.
    Calm,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503, nothing was done.
    Unavailable,
    /// It was done, and the answer is lost.
    Lost,
    /// It takes longer than its deadline, and is done at the end of it.
    Late,
    /// It takes long, and is answered.
    Slow,
    Conflict,
    TooMany,
    /// Refused for its content.
    Refused,
    Forbidden,
    CrashBefore,
    CrashAfter,
}

impl Fault {
    /// Whether it may make the engine give up until an input changes.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Refused | Self::Forbidden)
    }
}

/// An event, and what happens until the next.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) event: Event,
    /// Requests until the next event, unless everybody is at rest before.
    pub(crate) patience: u64,
    /// By number of requests since the event.
    pub(crate) faults: BTreeMap<u64, Fault>,
    /// What happens to watches, by number of requests since the event; 0 is together with it.
    pub(crate) gaps: BTreeMap<u64, Gap>,
}

/// How a unit lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Whether landings await the health of all.
    pub(crate) waits: bool,
    pub(crate) scope: LandingScope,
    pub(crate) on_failure: OnFailure,
    /// Whether objects may be made anew.
    pub(crate) force: bool,
    /// Whether Secrets have immutable versions.
    pub(crate) versioned: bool,
}

impl Terms {
    /// Whether something with this flaw must not land.
    pub(crate) fn refuses(&self, flaw: Flaw) -> bool {
        match flaw {
            Flaw::Invalid | Flaw::Unresolved => true,
            Flaw::Unhealthy => self.waits && self.on_failure == OnFailure::Revert,
        }
    }
}

/// Seeds from here on play units of many parcels.
pub(crate) const PARCELS: u64 = 1 << 40;
/// Seeds from here on play units that are not always undone, and make objects anew.
pub(crate) const MODES: u64 = 1 << 41;
/// Seeds from here on play units of which the agent knows only what watches tell, and watches have gaps.
pub(crate) const WATCHES: u64 = 1 << 42;
/// Seeds from here on play units whose Secrets have immutable versions.
pub(crate) const VERSIONS: u64 = 1 << 43;

/// Seeds from here on play an ExternalSecret that stands alone.
pub(crate) const ALONE: u64 = 1 << 44;

/// Seeds from here on play units whose store does not always answer.
pub(crate) const STORES: u64 = 1 << 45;

/// First seeds of all themes.
const THEMES: [u64; 7] = [0, PARCELS, MODES, WATCHES, VERSIONS, ALONE, STORES];

/// The seed of a story: of all themes in turn, where the number is not that of a theme's own.
pub(crate) fn seed(number: u64) -> u64 {
    let turns = THEMES.len() as u64;
    if number >= PARCELS { number } else { THEMES[(number % turns) as usize] + number / turns }
}

/// What a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    /// Units that land whole.
    Whole,
    /// Units of many parcels.
    Parcels,
    /// The same, that are not undone, or may make objects anew.
    Modes,
    /// Units of many parcels, and watches that have gaps.
    Watches,
    /// Units of many parcels, and Secrets with immutable versions.
    Versions,
    /// An ExternalSecret that stands alone.
    Alone,
    /// Units of many parcels, and a store that answers with errors, with nothing, or that there is no such key.
    Stores,
}

impl Theme {
    fn of(seed: u64) -> Self {
        match seed {
            0..PARCELS => Self::Whole,
            PARCELS..MODES => Self::Parcels,
            MODES..WATCHES => Self::Modes,
            WATCHES..VERSIONS => Self::Watches,
            VERSIONS..ALONE => Self::Versions,
            ALONE..STORES => Self::Alone,
            _ => Self::Stores,
        }
    }
}

/// A whole story.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Who takes a turn when.
    pub(crate) schedule: u64,
    pub(crate) terms: Terms,
    /// Steps of the controllers until a workload is ready.
    pub(crate) steps: u32,
    /// Whether the agent knows only what watches tell it.
    pub(crate) watched: bool,
    /// What the engine is made to do wrong.
    pub(crate) spoilt: Option<Spoilt>,
    pub(crate) rounds: Vec<Round>,
}

const KINDS: [Kind; 15] = [
    Kind::Account,
    Kind::Config,
    Kind::Config,
    Kind::Secret,
    Kind::Secret,
    Kind::External,
    Kind::External,
    Kind::Claim,
    Kind::Service,
    Kind::Deployment,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::CronJob,
    Kind::Widget,
];

/// Makes stories.
struct Author {
    theme: Theme,
    dice: Dice,
    repository: Repository,
    next: u32,
    /// Objects of others that a commit may come to declare.
    occupied: Vec<Thing>,
}

impl Scenario {
    pub(crate) fn new(seed: u64) -> Self {
        let theme = Theme::of(seed);
        let dice = Dice::new(seed);
        let mut author = Author { theme, dice, repository: Repository::default(), next: 1, occupied: Vec::new() };
        let first = author.first();
        let length = 1 + author.dice.roll(4);
        let mut rounds = vec![author.round(first)];
        for _ in 0..length {
            let event = author.event();
            rounds.push(author.round(event));
        }
        let dice = &mut author.dice;
        let (schedule, waits, steps) = (dice.roll(u64::MAX), dice.chance(60), dice.roll(4) as u32);
        let (watched, waits) = (theme == Theme::Watches, waits && theme != Theme::Alone);
        if watched {
            tear(&mut rounds, seed);
        }
        Self { seed, schedule, terms: author.terms(waits), steps, watched, spoilt: None, rounds }
    }
}

impl Author {
    fn terms(&mut self, waits: bool) -> Terms {
        let (revert, dice) = (OnFailure::Revert, &mut self.dice);
        let whole = Terms { waits, scope: LandingScope::Unit, on_failure: revert, force: false, versioned: false };
        match self.theme {
            Theme::Whole | Theme::Alone => whole,
            Theme::Parcels | Theme::Watches => Terms { scope: LandingScope::Parcel, ..whole },
            Theme::Versions | Theme::Stores => {
                let scope = if dice.chance(70) { LandingScope::Parcel } else { LandingScope::Unit };
                Terms { scope, versioned: self.theme == Theme::Versions, ..whole }
            }
            Theme::Modes => {
                let scope = if dice.chance(60) { LandingScope::Parcel } else { LandingScope::Unit };
                let on_failure = [revert, revert, OnFailure::Hold, OnFailure::Continue][dice.index(4)];
                Terms { scope, on_failure, force: true, ..whole }
            }
        }
    }

    fn round(&mut self, event: Event) -> Round {
        const FAULTS: [Fault; 14] = [
            Fault::Unavailable,
            Fault::Unavailable,
            Fault::Lost,
            Fault::Lost,
            Fault::Late,
            Fault::Slow,
            Fault::Conflict,
            Fault::TooMany,
            Fault::Refused,
            Fault::Forbidden,
            Fault::CrashBefore,
            Fault::CrashBefore,
            Fault::CrashAfter,
            Fault::CrashAfter,
        ];
        // A landing of one object takes a few requests.
        let (many, most) = if self.theme == Theme::Alone { (20, 12) } else { (80, 60) };
        let dice = &mut self.dice;
        let patience = if dice.chance(50) { u64::MAX } else { 1 + dice.roll(many) };
        let mut faults = BTreeMap::new();
        if dice.chance(70) {
            for _ in 0..dice.roll(4) {
                let fault = FAULTS[dice.index(FAULTS.len())];
                faults.insert(1 + dice.roll(most), fault);
            }
        }
        Round { event, patience, faults, gaps: BTreeMap::new() }
    }

    fn first(&mut self) -> Event {
        let mut edits = Vec::new();
        if self.theme == Theme::Alone {
            let thing = self.thing(Kind::Target);
            self.occupied.push(thing.clone());
            return if self.dice.chance(30) { Event::Occupy(thing) } else { Event::Commit(self.only()) };
        }
        if self.dice.chance(50) {
            edits.extend(self.add(Kind::Namespace));
        }
        if self.dice.chance(30) {
            edits.extend(self.add(Kind::Release));
        }
        let more = if self.theme == Theme::Whole { 0 } else { 3 };
        if self.theme == Theme::Stores {
            edits.extend(self.add(Kind::External));
        }
        for _ in 0..2 + more + self.dice.roll(4) {
            let kind = KINDS[self.dice.index(KINDS.len())];
            edits.extend(self.add(kind));
        }
        self.flaw(&mut edits, 10);
        Event::Commit(edits)
    }

    fn event(&mut self) -> Event {
        match self.dice.roll(100) {
            0..12 if self.theme == Theme::Watches => {
                self.one(|kind| kind != Kind::Release).map_or(Event::TakeOver, Event::Delete)
            }
            // Of versions, more is rotated, and less else.
            0..20 if self.theme == Theme::Versions => {
                self.one(Kind::is_secret).map_or(Event::TakeOver, |id| self.rotated(id))
            }
            0..25 | 45..60 if self.theme == Theme::Stores => self.answer(),
            0..45 if self.theme == Theme::Alone => Event::Commit(self.only()),
            0..45 => self.commit(),
            45..60 if self.theme == Theme::Alone => {
                self.one(Kind::is_secret).map_or(Event::TakeOver, |id| self.rotated(id))
            }
            45..60 => self.one(|kind| kind == Kind::External).map_or(Event::LetGo, |id| self.rotated(id)),
            60..66 => self.one(|_| true).map_or(Event::TakeOver, Event::CoOwn),
            66..71 => self.one(|kind| kind != Kind::Release).map_or(Event::TakeOver, Event::Overwrite),
            71..78 => self.one(|kind| kind != Kind::Release).map_or(Event::TakeOver, Event::Delete),
            78..84 => {
                let kind = KINDS[self.dice.index(KINDS.len())];
                let kind = if self.theme == Theme::Alone { Kind::Target } else { kind };
                // The ports of a Service merge with those of others.
                let is_plain = !matches!(kind, Kind::Widget | Kind::Service);
                let thing = self.thing(if is_plain { kind } else { Kind::Config });
                self.occupied.push(thing.clone());
                Event::Occupy(thing)
            }
            84..92 => Event::TakeOver,
            92..94 => Event::Quota(self.dice.chance(60)),
            94..97 => Event::Policy(self.dice.chance(60).then(|| KINDS[self.dice.index(KINDS.len())])),
            97..99 => Event::Terminate { held: self.dice.chance(60) },
            _ => Event::LetGo,
        }
    }

    /// The one thing of the story comes, or changes. Others may have made its Secret before.
    fn only(&mut self) -> Vec<Edit> {
        let edit = match (self.one(|_| true), self.occupied.pop()) {
            (Some(id), _) => Edit::Change { id, with_readers: false },
            (None, Some(occupied)) => Edit::Add(occupied),
            (None, None) => Edit::Add(self.thing(Kind::Target)),
        };
        self.repository.edit(&edit);
        vec![edit]
    }

    fn answer(&mut self) -> Event {
        const ANSWERS: [Said; 6] = [Said::Value, Said::Missing, Said::Gone, Said::Gone, Said::Empty, Said::Error];
        let said = ANSWERS[self.dice.index(ANSWERS.len())];
        let Some(id) = self.one(|kind| kind == Kind::External) else { return Event::LetGo };
        self.repository.edit(&Edit::Answer(id, said));
        Event::Answer(id, said)
    }

    fn rotated(&mut self, id: u32) -> Event {
        self.repository.edit(&Edit::Change { id, with_readers: false });
        Event::Rotate(id)
    }

    fn commit(&mut self) -> Event {
        let mut edits = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let made = match self.dice.roll(100) {
                0..20 if self.theme == Theme::Modes => {
                    self.one(Kind::rolls_out).map(Edit::Recast).into_iter().collect()
                }
                0..40 => self.changed(),
                40..60 => {
                    let kind = KINDS[self.dice.index(KINDS.len())];
                    self.add(kind)
                }
                60..68 => self.occupied.pop().map(Edit::Add).into_iter().collect(),
                68..83 => self.one(is_movable).map(Edit::Remove).into_iter().collect(),
                83..93 => self.one(is_movable).map(Edit::Rename).into_iter().collect(),
                _ => vec![Edit::Mend],
            };
            made.iter().for_each(|edit| self.repository.edit(edit));
            edits.extend(made);
        }
        self.flaw(&mut edits, 25);
        Event::Commit(edits)
    }

    fn changed(&mut self) -> Vec<Edit> {
        let with_readers = self.dice.chance(60);
        self.one(|_| true).map(|id| Edit::Change { id, with_readers }).into_iter().collect()
    }

    fn flaw(&mut self, edits: &mut Vec<Edit>, percent: u64) {
        if !self.dice.chance(percent) {
            return;
        }
        let flaw = match self.dice.roll(100) {
            0..30 if self.theme != Theme::Whole => Flaw::Unresolved,
            0..60 => Flaw::Unhealthy,
            _ => Flaw::Invalid,
        };
        let fits = |kind: Kind| match flaw {
            Flaw::Unhealthy => kind.rolls_out(),
            Flaw::Unresolved => kind == Kind::External,
            Flaw::Invalid => matches!(kind, Kind::Config | Kind::Service | Kind::Secret) || kind.is_workload(),
        };
        if let Some(id) = self.one(fits) {
            let edit = Edit::Break(id, flaw);
            self.repository.edit(&edit);
            edits.push(edit);
        }
    }

    /// Adds a thing, and with a widget its kind.
    fn add(&mut self, kind: Kind) -> Vec<Edit> {
        let mut things = Vec::new();
        let is_defined = self.repository.things.iter().any(|thing| thing.kind == Kind::Definition);
        if kind == Kind::Widget && !is_defined {
            things.push(self.thing(Kind::Definition));
        }
        things.push(self.thing(kind));
        let edits: Vec<Edit> = things.into_iter().map(Edit::Add).collect();
        edits.iter().for_each(|edit| self.repository.edit(edit));
        edits
    }

    fn thing(&mut self, kind: Kind) -> Thing {
        let id = self.next;
        self.next += 1;
        let name = match kind {
            Kind::Namespace => NAMESPACE.into(),
            Kind::Definition => "widgets.sim.example.com".into(),
            _ => format!("{}-{id}", format!("{kind:?}").to_lowercase()),
        };
        let secrets: Vec<u32> =
            self.repository.things.iter().filter(|thing| thing.kind.is_secret()).map(|thing| thing.id).collect();
        let read = secrets.into_iter().filter(|_| kind.is_workload() && self.dice.chance(60));
        let needs = read.map(|id| (id, 1)).collect();
        Thing { id, kind, name, version: 1, flaw: None, needs, cast: 0, said: Said::Value }
    }

    fn one(&mut self, fits: impl Fn(Kind) -> bool) -> Option<u32> {
        let all: Vec<u32> =
            self.repository.things.iter().filter(|thing| fits(thing.kind)).map(|thing| thing.id).collect();
        self.dice.pick(&all).copied()
    }
}

/// Watches break, lag and miss changes: while requests are sent, and when something happens.
fn tear(rounds: &mut [Round], seed: u64) {
    const GAPS: [Gap; 6] = [
        Gap::Cut,
        Gap::Lost,
        Gap::Lost,
        Gap::Bookmark,
        Gap::Silence(MOMENT),
        Gap::Silence(SignedDuration::from_secs(70)),
    ];
    const MOMENT: SignedDuration = SignedDuration::from_secs(5);
    let mut dice = Dice::new(seed ^ WATCHES.rotate_left(7));
    for round in rounds {
        if dice.chance(60) {
            round.gaps.insert(0, GAPS[dice.index(GAPS.len())]);
        }
        for _ in 0..dice.roll(4) {
            let gap = GAPS[dice.index(GAPS.len())];
            round.gaps.insert(1 + dice.roll(60), gap);
        }
    }
}

/// Whether things of a kind may be renamed or removed. A release that goes is uninstalled by another way, and the kind
/// of widgets goes only with all of them.
fn is_movable(kind: Kind) -> bool {
    !matches!(kind, Kind::Namespace | Kind::Definition | Kind::Release)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}, {} steps until ready", self.seed, self.terms, self.steps)?;
        for round in &self.rounds {
            writeln!(f, "  {:?}", round.event)?;
            if round.patience < u64::MAX {
                writeln!(f, "    the next event after {} requests", round.patience)?;
            }
            for (number, fault) in &round.faults {
                writeln!(f, "    {fault:?} at request {number}")?;
            }
            for (number, gap) in &round.gaps {
                writeln!(f, "    watches: {gap:?} at request {number}")?;
            }
        }
        Ok(())
    }
}
