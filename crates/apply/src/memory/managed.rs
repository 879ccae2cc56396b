//! Field managers: who owns which fields of an object, what an apply takes over, and what it leaves behind.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use super::fields::{Element, FieldSet};
use super::merge;
use super::shape::Shape;
use super::store::find;

/// Who writes: one entry of `managedFields` per writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) name: String,
    /// Server-side apply, or every other write.
    pub(super) applies: bool,
    pub(super) api_version: String,
    /// Empty for the main resource.
    pub(super) subresource: &'static str,
    /// Now, as the server writes it.
    pub(super) time: String,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    applies: bool,
    api_version: String,
    subresource: String,
    time: Option<String>,
    fields: Arc<FieldSet>,
}

impl Entry {
    /// Appliers keep their entry when they change the version; other writers have one for each.
    fn is(&self, writer: &Writer) -> bool {
        self.name == writer.name
            && self.applies == writer.applies
            && self.subresource == writer.subresource
            && (self.applies || self.api_version == writer.api_version)
    }

    fn of(writer: &Writer, fields: FieldSet) -> Self {
        Self {
            name: writer.name.clone(),
            applies: writer.applies,
            api_version: writer.api_version.clone(),
            subresource: writer.subresource.into(),
            time: None,
            fields: Arc::new(fields),
        }
    }

    fn from_json(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        Some(Self {
            name: text("manager")?,
            applies: text("operation")? == "Apply",
            api_version: text("apiVersion")?,
            subresource: text("subresource").unwrap_or_default(),
            time: text("time"),
            fields: Arc::new(FieldSet::from_json(entry.get("fieldsV1").unwrap_or(&Value::Null))),
        })
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.name,
            "operation": if self.applies { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
        });
        if let Some(time) = &self.time {
            entry["time"] = json!(time);
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }

    /// Whether two entries differ in nothing but their times.
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.applies == other.applies
            && self.api_version == other.api_version
            && self.subresource == other.subresource
            && self.fields == other.fields
    }

    /// Takes away what another has written; what is not touched stays shared.
    fn lose(&mut self, changed: &FieldSet, removed: &FieldSet) {
        for lost in [changed, removed] {
            if self.fields.meets(lost) {
                Arc::make_mut(&mut self.fields).subtract(lost);
            }
        }
    }

    /// As the server names a manager in a conflict.
    fn title(&self) -> String {
        let mut title = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            title.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if !self.applies {
            title.push_str(&format!(" using {}", self.api_version));
        }
        title
    }
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers {
    entries: Vec<Entry>,
}

/// Which fields a write is for: those that a request through this endpoint cannot change are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A kind without status subresource.
    Whole,
    /// Everything but `status`.
    Main,
    /// `status` alone.
    Status,
}

impl Part {
    fn of(self, set: FieldSet) -> FieldSet {
        match self {
            Self::Whole => set,
            Self::Main => set.without("status"),
            Self::Status => set.only("status"),
        }
    }
}

/// Fields that others own: the words of the server, and the fields.
#[derive(Debug)]
pub(super) struct Conflicts {
    pub(super) message: String,
}

impl Managers {
    /// Reads `metadata.managedFields`.
    pub(super) fn of(object: &Value) -> Self {
        let entries = find(object, "/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        Self { entries: entries.filter_map(Entry::from_json).collect() }
    }

    /// As `managedFields`: appliers first, then by time and name, as the server sorts them.
    pub(super) fn to_json(&self) -> Value {
        Value::Array(self.sorted().into_iter().map(Entry::to_json).collect())
    }

    fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| {
            (!entry.applies, &entry.time, entry.name.as_str(), &entry.api_version, entry.subresource.as_str())
        });
        entries
    }

    /// Whether two lists differ in nothing but the times of their entries.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.sorted(), other.sorted());
        mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(mine, theirs)| mine.is_same(theirs))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records a write that is no apply: what `new` changes belongs to `writer` from now on.
    pub(super) fn update(&mut self, live: &Value, new: &Value, shape: Shape<'_>, writer: &Writer, part: Part) {
        let found = merge::compare(live, new, shape);
        let (changed, removed) = (part.of(found.changed), part.of(found.removed));
        self.entries.iter_mut().for_each(|entry| entry.lose(&changed, &removed));
        let mut mine = changed;
        mine.subtract(&IDENTITY);
        if !mine.is_empty() {
            let place = self.entries.iter_mut().find(|entry| entry.is(writer));
            match place {
                Some(entry) => {
                    Arc::make_mut(&mut entry.fields).add(mine);
                    entry.time = Some(writer.time.clone());
                }
                None => self.entries.push(Entry { time: Some(writer.time.clone()), ..Entry::of(writer, mine) }),
            }
        }
        self.forget_empty();
    }

    /// Merges `config` into `live` and records the apply.
    ///
    /// # Errors
    /// Unless `force`, when a field that differs belongs to another manager.
    pub(super) fn apply(
        &mut self,
        live: &Value,
        config: &Value,
        shape: Shape<'_>,
        writer: &Writer,
        part: Part,
        force: bool,
    ) -> Result<Value, Conflicts> {
        let merged = merge::merge(Some(live), Some(config), shape).unwrap_or_else(|| live.clone());
        let set = part.of(merge::paths(config, shape));
        let place = self.entries.iter().position(|entry| entry.is(writer));
        let last = place.map(|index| self.entries[index].fields.clone());
        let drops = last.as_ref().is_some_and(|last| !last.is_within(&set));
        match place {
            Some(index) => {
                let time = self.entries[index].time.take();
                self.entries[index] = Entry { time, ..Entry::of(writer, set) };
            }
            None => self.entries.push(Entry::of(writer, set)),
        }
        let merged = if drops { self.prune(merged, last.as_deref(), shape) } else { merged };
        let changes = merged != *live;
        if changes {
            self.take_over(live, &merged, shape, writer, part, force)?;
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.is(writer)) {
            Arc::make_mut(&mut entry.fields).subtract(&IDENTITY);
            // The same as before is shared with it.
            entry.fields = last.clone().filter(|last| *last == entry.fields).unwrap_or_else(|| entry.fields.clone());
            if changes {
                entry.time = Some(writer.time.clone());
            }
        }
        self.forget_empty();
        Ok(merged)
    }

    /// Removes what the writer applied last time, not this time, and nobody else claims.
    fn prune(&self, merged: Value, last: Option<&FieldSet>, shape: Shape<'_>) -> Value {
        let Some(last) = last.filter(|last| !last.is_empty()) else { return merged };
        let last = merge::with_fields(last, shape);
        let pruned = merge::remove(&merged, &last, shape);
        let all = merge::with_fields(&merge::paths(&merged, shape), shape);
        let mut owned = FieldSet::default();
        self.entries.iter().for_each(|entry| owned.add(entry.fields.as_ref().clone()));
        let mut kept = merge::with_fields(&merge::paths(&pruned, shape), shape);
        kept.add(merge::with_fields(&owned, shape));
        let pruned = merge::remove(&merged, &all.difference(&kept), shape);
        let left = merge::with_fields(&merge::paths(&pruned, shape), shape);
        merge::remove(&merged, &all.difference(&left).intersection(&last), shape)
    }

    fn take_over(
        &mut self,
        live: &Value,
        new: &Value,
        shape: Shape<'_>,
        writer: &Writer,
        part: Part,
        force: bool,
    ) -> Result<(), Conflicts> {
        if self.entries.iter().all(|entry| entry.is(writer)) {
            return Ok(());
        }
        let found = merge::compare(live, new, shape);
        let (changed, removed) = (part.of(found.changed), part.of(found.removed));
        let others = self.entries.iter().filter(|entry| !force && !entry.is(writer));
        let disputed: Vec<(String, Vec<String>)> = others
            .map(|entry| (entry.title(), entry.fields.intersection(&changed).paths()))
            .filter(|(_, paths)| !paths.is_empty())
            .collect();
        if !disputed.is_empty() {
            return Err(Conflicts { message: conflict_message(disputed) });
        }
        let others = self.entries.iter_mut().filter(|entry| !entry.is(writer));
        others.for_each(|entry| entry.lose(&changed, &removed));
        Ok(())
    }

    fn forget_empty(&mut self) {
        self.entries.retain(|entry| !entry.fields.is_empty());
    }
}

fn conflict_message(mut disputed: Vec<(String, Vec<String>)>) -> String {
    let count: usize = disputed.iter().map(|(_, paths)| paths.len()).sum();
    if let [(title, paths)] = &disputed[..]
        && let [path] = &paths[..]
    {
        return format!("Apply failed with 1 conflict: conflict with {title}: {path}");
    }
    disputed.sort();
    let lines = disputed.iter().flat_map(|(title, paths)| {
        let head = std::iter::once(format!("conflicts with {title}:"));
        head.chain(paths.iter().map(|path| format!("- {path}")))
    });
    format!("Apply failed with {count} conflicts: {}", lines.collect::<Vec<_>>().join("\n"))
}

/// Fields that say which object it is, or that the server alone writes: nobody owns them.
static IDENTITY: LazyLock<FieldSet> = LazyLock::new(|| {
    const METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut identity = FieldSet::default();
    for field in ["apiVersion", "kind", "metadata"] {
        identity.insert(&[Element::field(field)]);
    }
    for field in METADATA {
        identity.insert(&[Element::field("metadata"), Element::field(field)]);
    }
    identity
});

/// Takes the `managedFields` out of an object.
pub(super) fn bare(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Writes `managedFields` into an object.
pub(super) fn record(object: &mut Value, managers: &Managers) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if managers.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), managers.to_json());
    }
}

/// What a create is compared with: apiVersion and kind, and in built-in kinds the structures that are always there, so
/// that nobody owns them as such.
pub(super) fn nothing(object: &Value, shape: Shape<'_>) -> Value {
    const STRUCTURES: [&str; 9] = [
        "/spec",
        "/spec/names",
        "/spec/strategy",
        "/spec/updateStrategy",
        "/spec/jobTemplate",
        "/spec/template",
        "/template",
        "/status",
        "/status/loadBalancer",
    ];
    let mut map = Map::new();
    for field in ["apiVersion", "kind"] {
        map.insert(field.into(), object.get(field).cloned().unwrap_or_default());
    }
    let mut nothing = Value::Object(map);
    if let Shape::BuiltIn { .. } = shape {
        for pointer in STRUCTURES.iter().filter(|pointer| find(object, pointer).is_some_and(Value::is_object)) {
            empty(&mut nothing, pointer);
            for part in ["metadata", "spec", "spec/template", "spec/template/metadata", "spec/template/spec"] {
                let below = format!("{pointer}/{part}");
                if pointer.ends_with("emplate") && find(object, &below).is_some_and(Value::is_object) {
                    empty(&mut nothing, &below);
                }
            }
        }
    }
    nothing
}

/// Puts an empty map at a pointer.
fn empty(value: &mut Value, pointer: &str) {
    let place = pointer.split('/').skip(1).fold(value, |place, name| &mut place[name]);
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
}
