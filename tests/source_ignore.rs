//! Ignore rules, case by case as Flux's own library decides; `cases/source/origin` tells how the cases were made.

use std::collections::{BTreeMap, BTreeSet};

use lockstep::source::ignore::{IGNORE_FILE, Rules};

#[derive(serde::Deserialize)]
struct Case {
    /// Folder to the text of its ignore file.
    #[serde(default)]
    rules: Option<BTreeMap<String, String>>,
    spec: Option<String>,
    /// Those of the first line when absent.
    files: Option<Vec<String>>,
    #[serde(default)]
    kept: Vec<String>,
}

impl Case {
    /// Every file, and every folder with a slash at its end.
    fn paths(&self, common: &[String]) -> BTreeSet<String> {
        let files = self.files.as_deref().unwrap_or(common).iter().cloned();
        let ignores = self.rules.iter().flatten().map(|(folder, _)| format!("{folder}/{IGNORE_FILE}"));
        let files: Vec<String> = files.chain(ignores.map(|path| path.trim_start_matches('/').to_owned())).collect();
        let ends = |path: &str| path.match_indices('/').map(|(at, _)| at + 1).collect::<Vec<_>>();
        let folders = files.iter().flat_map(|path| ends(path).into_iter().map(|end| path[..end].to_owned()));
        folders.chain(files.iter().cloned()).collect()
    }

    fn kept(&self, common: &[String]) -> BTreeSet<String> {
        let texts = self.rules.iter().flatten().map(|(folder, text)| (folder.as_str(), text.as_str()));
        let rules = Rules::new(texts, self.spec.as_deref());
        let mut paths = self.paths(common);
        paths.retain(|path| !rules.exclude(path.trim_end_matches('/'), path.ends_with('/')));
        paths
    }
}

#[test]
fn rules_decide_as_flux_does() {
    let lines = include_str!("cases/source/ignore.jsonl").lines();
    let cases: Vec<Case> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let common = cases[0].files.clone().unwrap();
    let wrong = cases[1..].iter().filter(|case| case.kept(&common) != case.kept.iter().cloned().collect());
    let wrong: Vec<String> = wrong.map(|case| format!("{:?} {:?}", case.rules, case.spec)).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len() - 1, wrong.join("\n"));
}

#[test]
fn reading_stops_at_a_line_of_64_kib_as_in_go() {
    let excluded = |line: String| {
        let rules = Rules::new([], Some(&format!("docs/\n{line}\napps/\n")));
        (rules.exclude("docs", true), rules.exclude("apps", true))
    };
    assert_eq!(excluded("x".repeat(65_535)), (true, true));
    assert_eq!(excluded("x".repeat(65_536)), (true, false));
    assert_eq!(excluded("x".repeat(65_535) + "\r"), (true, false));
}
