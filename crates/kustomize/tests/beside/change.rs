//! A folder that is to be built, and random changes of it.

use std::collections::BTreeMap;
use std::fmt;

use kustomize::{Options, build};
use manifest::{Files, Object, Purpose};
use serde_json::{Map, Value, json};

use crate::Texts;
use crate::dice::Dice;
use crate::patch;

/// What is changed.
pub(crate) struct Draft {
    /// The folder that is built: the one that was chosen, or one above it.
    pub(crate) folder: String,
    file: String,
    kustomization: Map<String, Value>,
    /// What it builds without changes.
    objects: Vec<Object>,
    /// Other files that are changed or added.
    others: BTreeMap<String, String>,
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.texts()
            .iter()
            .try_for_each(|(path, text)| write!(f, "-- {path} --\n{}", text.as_deref().unwrap_or_default()))
    }
}

const CHANGES: [fn(&mut Draft, &mut Dice); 14] = [
    names,
    namespace,
    labels,
    images,
    replicas,
    order,
    strategic_patch,
    strategic_patch,
    json_patch,
    replacement,
    generator,
    options,
    scalar_of_a_file,
    documents_of_a_file,
];

impl Draft {
    /// Of a folder whose kustomization can be read and which builds something.
    pub(crate) fn of(files: &dyn Files, folder: &str) -> Option<Self> {
        let objects = build(files, folder, &Options::default()).ok().filter(|objects| !objects.is_empty())?;
        let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
        let paths = names.map(|name| format!("{folder}/{name}"));
        let (file, text) = paths.into_iter().find_map(|path| Some((path.clone(), text(files, &path)?)))?;
        let Ok(Value::Object(kustomization)) = yaml::from_str(&text) else { return None };
        let mut draft = Self { folder: folder.to_owned(), file, kustomization, objects, others: BTreeMap::new() };
        draft.read_others(files);
        Some(draft)
    }

    /// Remembers the files that the objects stand in.
    fn read_others(&mut self, files: &dyn Files) {
        let origins = self.objects.iter().filter_map(|object| Some(object.origin()?.file.to_string()));
        let origins: Vec<String> = origins.filter(|file| *file != self.file).collect();
        self.others = origins.into_iter().filter_map(|file| Some((file.clone(), text(files, &file)?))).collect();
    }

    /// Changes it once or a few times; sometimes from a folder above.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        if dice.hits(30) && self.kustomization.get("kind") != Some(&json!("Component")) {
            let inner = self.folder.rsplit('/').next().unwrap_or_default().to_owned();
            self.others.insert(self.file.clone(), yaml::emit::to_yaml(&Value::Object(self.kustomization.clone())));
            self.folder = format!("{}-above", self.folder);
            self.file = format!("{}/kustomization.yaml", self.folder);
            self.kustomization = Map::from_iter([("resources".to_owned(), json!([format!("../{inner}")]))]);
        }
        for _ in 0..=dice.below(3) {
            CHANGES[dice.below(CHANGES.len() as u64) as usize](self, dice);
        }
    }

    /// The files as they are to be written.
    pub(crate) fn texts(&self) -> Texts {
        let kustomization = yaml::emit::to_yaml(&Value::Object(self.kustomization.clone()));
        let others = self.others.iter().map(|(path, text)| (path.clone(), Some(text.clone())));
        others.chain([(self.file.clone(), Some(kustomization))]).collect()
    }

    fn set(&mut self, key: &str, value: Value) {
        self.kustomization.insert(key.to_owned(), value);
    }

    /// Adds to a list of the kustomization.
    fn push(&mut self, key: &str, entry: Value) {
        if let Some(list) = self.kustomization.entry(key).or_insert_with(|| json!([])).as_array_mut() {
            list.push(entry);
        }
    }

    fn object(&self, dice: &mut Dice) -> &Value {
        self.objects[dice.below(self.objects.len() as u64) as usize].value()
    }
}

fn text(files: &dyn Files, path: &str) -> Option<String> {
    files.read(path, Purpose::Recipe).ok()?.text().map(str::to_owned)
}

fn pick<'a>(words: &[&'a str], dice: &mut Dice) -> &'a str {
    words[dice.below(words.len() as u64) as usize]
}

fn names(draft: &mut Draft, dice: &mut Dice) {
    let (key, value) = if dice.hits(50) { ("namePrefix", "first-") } else { ("nameSuffix", "-last") };
    draft.set(key, json!(value));
}

fn namespace(draft: &mut Draft, dice: &mut Dice) {
    draft.set("namespace", json!(pick(&["elsewhere", "default", "kube-system", "123"], dice)));
}

fn labels(draft: &mut Draft, dice: &mut Dice) {
    let pairs = json!({pick(&["team", "app", "app.kubernetes.io/name"], dice): pick(&["a", "yes", "12", ""], dice)});
    match dice.below(3) {
        0 => draft.set("commonLabels", pairs),
        1 => draft.set("commonAnnotations", pairs),
        _ => {
            let mut entry = json!({"pairs": pairs});
            for key in ["includeSelectors", "includeTemplates"] {
                if dice.hits(40) {
                    entry[key] = json!(true);
                }
            }
            if dice.hits(30) {
                entry["fields"] = json!([{"path": "spec/labels", "create": dice.hits(50), "kind": "Deployment"}]);
            }
            draft.push("labels", entry);
        }
    }
}

fn images(draft: &mut Draft, dice: &mut Dice) {
    let text = draft.objects.iter().map(|object| object.value().to_string()).collect::<String>();
    let mut found = text.split("\"image\":\"").skip(1).filter_map(|rest| rest.split(['"', ':', '@']).next());
    let name = found.nth(dice.below(3) as usize).unwrap_or("nginx").to_owned();
    let mut entry = json!({"name": name});
    let (key, value) = match dice.below(5) {
        0 => ("newTag", json!("1.2")),
        1 => ("newTag", json!("0123")),
        2 => ("newName", json!("registry.example.com:5000/other")),
        3 => ("digest", json!(format!("sha256:{}", "a".repeat(64)))),
        _ => ("tagSuffix", json!("-debug")),
    };
    entry[key] = value;
    draft.push("images", entry);
}

fn replicas(draft: &mut Draft, dice: &mut Dice) {
    let workloads = draft.objects.iter().filter(|object| matches!(object.kind(), "Deployment" | "StatefulSet"));
    let name = workloads.map(Object::name).nth(dice.below(3) as usize).unwrap_or("web").to_owned();
    draft.push("replicas", json!({"name": name, "count": dice.below(5)}));
}

/// Swaps resources, drops one, or names one twice.
fn order(draft: &mut Draft, dice: &mut Dice) {
    let Some(list) = draft.kustomization.get_mut("resources").and_then(Value::as_array_mut) else { return };
    if list.is_empty() {
        return;
    }
    let (a, b) = (dice.below(list.len() as u64) as usize, dice.below(list.len() as u64) as usize);
    match dice.below(6) {
        0 => drop(list.remove(a)),
        1 => list.push(list[b].clone()),
        _ => list.swap(a, b),
    }
}

/// Writes a patch into the kustomization or into a file of its own.
fn add_patch(draft: &mut Draft, patch: &Value, target: Option<Value>, dice: &mut Dice) {
    let text = if dice.hits(30) { patch.to_string() } else { yaml::emit::to_yaml(patch) };
    let mut entry = if dice.hits(50) {
        json!({"patch": text})
    } else {
        let name = format!("patch-{}.yaml", draft.others.len());
        draft.others.insert(format!("{}/{name}", draft.folder), text);
        json!({"path": name})
    };
    if let Some(target) = target {
        entry["target"] = target;
    }
    draft.push("patches", entry);
}

/// A target that an object is among.
fn target(object: &Value, dice: &mut Dice) -> Value {
    let mut target = json!({"kind": object["kind"]});
    if dice.hits(60) {
        target["name"] = object["metadata"]["name"].clone();
    }
    match dice.below(8) {
        0 => target["name"] = json!(".*"),
        1 => target["namespace"] = json!("default"),
        2 => target["labelSelector"] = json!("app"),
        3 => target["annotationSelector"] = json!("!absent"),
        4 => target["version"] = json!("v1"),
        _ => {}
    }
    target
}

fn strategic_patch(draft: &mut Draft, dice: &mut Dice) {
    let object = draft.object(dice).clone();
    let patch = patch::strategic(&object, dice);
    let target = dice.hits(30).then(|| target(&object, dice));
    add_patch(draft, &patch, target, dice);
}

fn json_patch(draft: &mut Draft, dice: &mut Dice) {
    let object = draft.object(dice).clone();
    let operations = patch::operations(&object, dice);
    let target = target(&object, dice);
    add_patch(draft, &operations, Some(target), dice);
}

fn replacement(draft: &mut Draft, dice: &mut Dice) {
    let (from, to) = (draft.object(dice).clone(), draft.object(dice).clone());
    let select = |object: &Value| json!({"kind": object["kind"], "name": object["metadata"]["name"]});
    let mut source = select(&from);
    if dice.hits(70) {
        source["fieldPath"] = json!(patch::field_path(&from, dice));
    }
    let options = match dice.below(5) {
        0 => json!({"create": true}),
        1 => json!({"delimiter": "-", "index": dice.below(4)}),
        2 => json!({"delimiter": "/", "index": -1}),
        _ => json!({}),
    };
    let paths: Vec<String> = (0..=dice.below(2)).map(|_| patch::field_path(&to, dice)).collect();
    let mut into = json!({"select": select(&to), "fieldPaths": paths, "options": options});
    if dice.hits(20) {
        into["reject"] = json!([{"name": "web"}]);
    }
    draft.push("replacements", json!({"source": source, "targets": [into]}));
}

fn generator(draft: &mut Draft, dice: &mut Dice) {
    let kind = pick(&["ConfigMap", "Secret"], dice);
    let existing = draft.objects.iter().find(|object| object.kind() == kind).map(|object| object.name().to_owned());
    let mut entry = json!({"name": "made", "literals": ["a=1", format!("b={}", patch::value(dice))]});
    if let Some(name) = existing.filter(|_| dice.hits(50)) {
        entry["name"] = json!(name);
        entry["behavior"] = json!(pick(&["merge", "replace", "create"], dice));
    }
    if dice.hits(30) {
        entry["options"] =
            json!({"disableNameSuffixHash": dice.hits(50), "labels": {"a": "yes"}, "immutable": dice.hits(50)});
    }
    draft.push(if kind == "Secret" { "secretGenerator" } else { "configMapGenerator" }, entry);
}

fn options(draft: &mut Draft, dice: &mut Dice) {
    match dice.below(4) {
        0 => draft.set("sortOptions", json!({"order": pick(&["legacy", "fifo"], dice)})),
        1 => draft.set("buildMetadata", json!([pick(&["originAnnotations", "transformerAnnotations", "managedByLabel"], dice)])),
        2 => draft.set("generatorOptions", json!({"disableNameSuffixHash": true, "annotations": {"a": "b"}})),
        _ => draft.push("vars", json!({"name": "NAME", "objref": {"apiVersion": draft.object(dice)["apiVersion"], "kind": draft.object(dice)["kind"], "name": draft.object(dice)["metadata"]["name"]}})),
    }
}

/// Writes another scalar, as a person could, behind a key of a file.
fn scalar_of_a_file(draft: &mut Draft, dice: &mut Dice) {
    const SCALARS: [&str; 22] = [
        "changed",
        "'yes'",
        "yes",
        "~",
        "\"two\\nlines\"",
        "0x1F",
        "0o17",
        "1_000",
        "1e3",
        ".5",
        "-0",
        "|\n{}  block\n{}",
        "|-\n{} odd\n",
        ">-\n{}  folded\n{}  text\n",
        "!!str 5",
        "2020-01-01",
        "{a: b, c: [d, 'e']}",
        "[]",
        "\"\\u00e9\\t\"",
        "'it''s'",
        "# nothing",
        "<<",
    ];
    let Some(file) = a_file(draft, dice) else { return };
    let text = &draft.others[&file];
    let lines: Vec<&str> = text.lines().collect();
    let at = dice.below(lines.len() as u64) as usize;
    let Some((key, _)) = lines.get(at).and_then(|line| line.split_once(": ")) else { return };
    let indent = key.len() - key.trim_start().len();
    let scalar = pick(&SCALARS, dice).replace("{}", &" ".repeat(indent));
    let line = format!("{key}: {scalar}");
    let changed: Vec<&str> =
        lines.iter().enumerate().map(|(other, was)| if other == at { line.as_str() } else { was }).collect();
    let changed = changed.join("\n") + "\n";
    draft.others.insert(file, changed);
}

fn a_file(draft: &Draft, dice: &mut Dice) -> Option<String> {
    let files: Vec<&String> =
        draft.others.keys().filter(|file| file.ends_with("yaml") || file.ends_with("yml")).collect();
    files.get(dice.below(files.len() as u64) as usize).map(|file| (*file).clone())
}

/// Renames an object in its file, swaps documents, drops one or writes one twice.
fn documents_of_a_file(draft: &mut Draft, dice: &mut Dice) {
    let Some(file) = a_file(draft, dice) else { return };
    let text = &draft.others[&file];
    let mut parts: Vec<String> = text.split("\n---\n").map(str::to_owned).collect();
    let (a, b) = (dice.below(parts.len() as u64) as usize, dice.below(parts.len() as u64) as usize);
    match dice.below(5) {
        0 => parts.push(parts[a].clone()),
        1 => drop(parts.remove(a)),
        2 => parts.swap(a, b),
        _ => parts[a] = parts[a].replacen("\n  name: ", "\n  name: renamed-", 1),
    }
    draft.others.insert(file, parts.join("\n---\n"));
}
