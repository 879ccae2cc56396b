//! Real charts, and charts made to show one behaviour, against `helm template`.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a case that cannot be read stops the test")]

#[path = "support/command.rs"]
mod command;
#[path = "../../../tests/support/corpus.rs"]
mod corpus;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use command::Command;
use disk::Disk;
use helm::values;
use helm::{Capabilities, Chart};
use manifest::{Files, MemoryFiles};
use serde_json::Value as Json;

fn text<'a>(case: &'a Json, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_default()
}

/// The command line of a case; files are named as they lie in `files`, after `root`.
fn command(case: &Json, files: &dyn Files, root: &str) -> Result<Command, String> {
    let arguments = case["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    Command::parse(text(case, "release"), text(case, "namespace"), arguments, files, root)
}

/// Cases that differ, and why.
type Differences<'d> = &'d [(&'d str, &'d str)];

/// Counts the cases of a suite.
struct Tally<'d> {
    suite: &'static str,
    differences: Differences<'d>,
    ran: usize,
    failed: Vec<String>,
}

impl<'d> Tally<'d> {
    fn new(suite: &'static str, differences: Differences<'d>) -> Self {
        Self { suite, differences, ran: 0, failed: Vec::new() }
    }

    fn add(&mut self, id: &str, result: Result<(), String>) {
        self.ran += 1;
        let is_known = self.differences.iter().any(|(known, _)| *known == id);
        match result {
            Err(message) if !is_known => self.failed.push(format!("{id}: {message}")),
            Ok(()) if is_known => self.failed.push(format!("{id}: is no difference any more")),
            _ => {}
        }
    }

    /// Reports; `equal` is how many cases give what Helm gives, a number that may only rise.
    fn close(self, equal: usize) {
        let different = self.differences.len();
        corpus::report_besides(self.suite, self.ran, &self.failed, different);
        assert_eq!(self.ran - different, equal, "{}: as many cases are equal to Helm's", self.suite);
    }
}

/// Documents by source, as they are printed.
fn documents(output: &str) -> Vec<(String, String)> {
    if !output.starts_with("---\n# Source: ") {
        return vec![(String::new(), output.to_owned())];
    }
    let parts = output.split("---\n# Source: ").skip(1);
    parts
        .map(|part| part.split_once('\n').unwrap())
        .map(|(source, text)| (source.to_owned(), text.to_owned()))
        .collect()
}

/// The object that a document holds, without what differs from run to run.
fn object(text: &str, masks: &[String]) -> Json {
    let mut value = yaml::from_str(text).unwrap_or_else(|_| text.into());
    for mask in masks {
        if let Some(place) = value.pointer_mut(mask) {
            *place = "masked".into();
        }
    }
    value
}

/// Masked JSON pointers by document.
fn masks(case: &Json) -> HashMap<i64, Vec<String>> {
    let mut masks: HashMap<i64, Vec<String>> = HashMap::new();
    for mask in case["masks"].as_array().into_iter().flatten() {
        let paths = mask["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned());
        masks.entry(mask["doc"].as_i64().unwrap()).or_default().extend(paths);
    }
    masks
}

/// Compares what was printed, document by document.
fn compare(case: &Json, wanted: &[(String, String)], got: &[(String, String)], unordered: bool) -> Result<(), String> {
    let masks = masks(case);
    let is_unordered = unordered || masks.contains_key(&-1);
    if is_unordered {
        let objects = |documents: &[(String, String)]| {
            let mut objects: Vec<String> = documents.iter().map(|(_, text)| object(text, &[]).to_string()).collect();
            objects.sort();
            objects
        };
        let (wanted, got) = (objects(wanted), objects(got));
        let first = wanted.iter().zip(&got).find(|(wanted, got)| wanted != got);
        return match first {
            None if wanted.len() == got.len() => Ok(()),
            first => Err(format!("{} objects for {}: {first:?}", got.len(), wanted.len())),
        };
    }
    if wanted.len() != got.len() {
        let names =
            |documents: &[(String, String)]| documents.iter().map(|(source, _)| source.clone()).collect::<Vec<_>>();
        return Err(format!("{} documents for {}: {:?} for {:?}", got.len(), wanted.len(), names(got), names(wanted)));
    }
    for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
        let masks = masks.get(&i64::try_from(index).unwrap()).map(Vec::as_slice).unwrap_or_default();
        let fits = if masks.is_empty() {
            wanted == got
        } else {
            wanted.0 == got.0 && object(&wanted.1, masks) == object(&got.1, masks)
        };
        if !fits {
            return Err(difference(index, wanted, got));
        }
    }
    Ok(())
}

fn difference(index: usize, wanted: &(String, String), got: &(String, String)) -> String {
    let lines = wanted.1.lines().zip(got.1.lines()).enumerate();
    let first = lines.into_iter().find(|(_, (wanted, got))| wanted != got);
    format!("document {index} {} (got {}): {first:?}", wanted.0, got.0)
}

fn stated_error(case: &Json) -> String {
    let error = text(case, "error").lines().filter(|line| !line.starts_with("level=")).collect::<Vec<_>>().join("\n");
    let error = error.trim_start_matches("Error: ");
    error.split("\n\nUse --debug flag").next().unwrap().to_owned()
}

/// Whether two texts say the same: the lines of a schema's violations, and the names in them, have no order in Go.
fn says(got: &str, wanted: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<Vec<String>> = text
            .lines()
            .map(|line| {
                let mut words: Vec<String> = line.split([' ', ',']).map(str::to_owned).collect();
                words.sort_unstable();
                words.retain(|word| !word.is_empty());
                words
            })
            .collect();
        lines.sort_unstable();
        lines
    };
    got == wanted || (wanted.starts_with("values don't meet") && sorted(got) == sorted(wanted))
}

/// Compares a render with the error that it should be.
fn compare_error<T>(case: &Json, rendered: Result<T, String>) -> Result<(), String> {
    let wanted = stated_error(case);
    match rendered {
        Err(error) if says(&error, &wanted) => Ok(()),
        other => Err(format!("wanted error {wanted:?}, got {:?}", other.map(|_| "a render"))),
    }
}

/// Source and text by digest.
type Documents = HashMap<String, (String, String)>;

/// What the corpus expects of a chart: documents, and cases that name them.
fn expected(name: &str) -> Option<(Documents, Vec<Json>)> {
    let path = corpus::corpus(&format!("helm/expected/{name}.jsonl.gz"))?;
    let (mut documents, mut cases) = (HashMap::new(), Vec::new());
    for line in disk::lines(&path) {
        if line["t"] == "doc" {
            let document = (text(&line, "source").to_owned(), text(&line, "text").to_owned());
            documents.insert(text(&line, "sha").to_owned(), document);
        } else {
            cases.push(line);
        }
    }
    Some((documents, cases))
}

fn chart_case(chart: &Chart, documents: &Documents, case: &Json) -> Result<(), String> {
    let root = corpus::corpus("helm").unwrap();
    let mut command = command(case, &MemoryFiles::default(), "")?;
    if let Some(values) = case["values"].as_str() {
        let below = if values.starts_with("values/") { root } else { root.join("charts") };
        let given = values::from_yaml(&std::fs::read_to_string(below.join(values)).unwrap());
        let given = given.map_err(|error| error.in_helms_words())?;
        // What `--set` says wins.
        command.values = values::merge_maps(given, std::mem::take(&mut command.values));
    }
    let output = command.run(chart);
    if text(case, "status") != "ok" {
        return compare_error(case, output);
    }
    let output = output?;
    let wanted = case["docs"].as_array().unwrap().iter().map(|sha| documents[sha.as_str().unwrap()].clone());
    let wanted: Vec<(String, String)> = wanted.filter(|(source, _)| !is_stand_in(source)).collect();
    compare(case, &wanted, &self::documents(&output), text(case, "chart").starts_with("bjw-s"))
}

/// Loads a chart of the corpus. One lacks four of its dependencies there: two lie beside it, for two others, which come
/// from elsewhere, a chart without templates stands in.
fn load(folder: &Path, name: &str) -> Chart {
    let mut chart = Chart::load(&Disk::new(&folder.join(name)), "").unwrap();
    if name == "kube-prometheus-stack" {
        for beside in ["kube-state-metrics", "prometheus-node-exporter"] {
            chart.dependencies.push(Chart::load(&Disk::new(&folder.join(beside)), "").unwrap());
        }
        for (absent, version) in STAND_INS {
            let mut files = MemoryFiles::default();
            files.insert("Chart.yaml", format!("apiVersion: v2\nname: {absent}\nversion: {version}\n"));
            chart.dependencies.push(Chart::load(&files, "").unwrap());
        }
    }
    chart
}

const STAND_INS: [(&str, &str); 2] = [("grafana", "12.11.1"), ("prometheus-windows-exporter", "0.12.0")];

fn is_stand_in(source: &str) -> bool {
    STAND_INS.iter().any(|(name, _)| source.starts_with(&format!("kube-prometheus-stack/charts/{name}/")))
}

/// Runs the cases of some charts.
fn check_charts(is_in: impl Fn(&str) -> bool, mut tally: Tally<'_>, equal: usize) {
    let Some(folder) = corpus::corpus("helm/charts") else { return };
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in names.iter().filter(|name| is_in(name)) {
        let Some((documents, cases)) = expected(name) else { continue };
        let chart = load(&folder, name);
        for case in &cases {
            tally.add(text(case, "id"), chart_case(&chart, &documents, case));
        }
    }
    tally.close(equal);
}

const FIRST: [&str; 3] = ["cert-manager", "ingress-nginx", "podinfo"];

#[test]
fn podinfo_cert_manager_and_ingress_nginx_render_as_in_helm() {
    check_charts(|name| FIRST.contains(&name), Tally::new("helm/first", &[]), 30);
}

#[test]
fn all_other_charts_render_as_in_helm() {
    check_charts(|name| !FIRST.contains(&name), Tally::new("helm/charts", &[]), 366);
}

#[test]
fn the_values_of_real_releases_render_as_in_helm() {
    let Some(path) = corpus::corpus("helm/app-template-releases.jsonl.gz") else { return };
    let charts = corpus::corpus("helm/charts").unwrap();
    let mut loaded: BTreeMap<String, Chart> = BTreeMap::new();
    const NAME: &str = "the command line refuses a name with a variable in it, not the engine";
    let differences = [("bjw-s-labs+home-ops:kubernetes/components/anubis:${APP}-anubis", NAME)];
    let mut tally = Tally::new("helm/app-template-releases", &differences);
    for case in disk::lines(&path) {
        let name = text(&case, "chart");
        let chart =
            loaded.entry(name.to_owned()).or_insert_with(|| Chart::load(&Disk::new(&charts.join(name)), "").unwrap());
        tally.add(text(&case, "id"), release_case(chart, &case));
    }
    tally.close(176);
}

fn release_case(chart: &Chart, case: &Json) -> Result<(), String> {
    let mut command = command(case, &MemoryFiles::default(), "")?;
    command.values = values::from_yaml(text(case, "values_text")).map_err(|error| error.in_helms_words())?;
    let output = command.run(chart);
    if text(case, "status") != "ok" {
        return compare_error(case, output);
    }
    let output = output?;
    compare(case, &documents(text(case, "stdout")), &documents(&output), true)
}

#[test]
fn made_charts_render_and_fail_as_in_helm() {
    const CLI: &str = "the command line refuses or selects, not the engine";
    const DIFFERENCES: Differences<'_> = &[
        ("release-names#1", CLI),
        ("release-names#2", CLI),
        ("release-names#4", CLI),
        ("show-only#0", CLI),
        ("show-only#1", CLI),
        ("show-only#2", CLI),
        ("schema-invalid#0", "a malformed schema is refused in our words"),
        ("schema-remote-ref#0", "a schema elsewhere takes everything; the original fetches it, here in vain"),
    ];
    let Some(path) = corpus::corpus("helm/made.jsonl") else { return };
    let mut tally = Tally::new("helm/made", DIFFERENCES);
    for made in disk::lines(&path) {
        let mut files = MemoryFiles::default();
        for (name, content) in made["files"].as_object().unwrap() {
            let content = match content {
                Json::String(text) => text.as_bytes().to_vec(),
                other => disk::decode(other["b64"].as_str().unwrap_or_default()),
            };
            files.insert(name.as_str(), content);
        }
        for (index, case) in made["runs"].as_array().unwrap().iter().enumerate() {
            tally.add(&format!("{}#{index}", text(&made, "id")), made_case(&files, case));
        }
    }
    tally.close(157);
}

fn made_case(files: &MemoryFiles, case: &Json) -> Result<(), String> {
    let output = command(case, files, "c/").and_then(|command| {
        let chart = Chart::load(files, "").map_err(|error| error.to_string())?;
        command.run(&chart)
    });
    if text(case, "status") != "ok" {
        return compare_error(case, output);
    }
    let output = output?;
    let wanted = text(case, "stdout");
    if case["masks"].is_null() && wanted != output {
        compare(case, &documents(wanted), &documents(&output), false)?;
        return Err(format!("wanted {wanted:?}, got {output:?}"));
    }
    compare(case, &documents(wanted), &documents(&output), false)
}

#[test]
fn the_default_capabilities_are_those_of_helm_without_a_cluster() {
    let Some(path) = corpus::corpus("helm/default-capabilities.json") else { return };
    let wanted: Json = serde_json::from_str(&std::fs::read_to_string(Path::new(&path)).unwrap()).unwrap();
    let own = Capabilities::default();
    assert_eq!(wanted["apis"], Json::from(own.api_versions));
    assert_eq!(wanted["kube"]["Version"], Json::from(own.kube_version.version));
}
