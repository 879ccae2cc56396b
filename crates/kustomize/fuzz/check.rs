//! What must hold for any tree of files, or for any one file of a tree, for the fuzzers and for the replay of their seeds.

use std::collections::BTreeSet;
use std::sync::Arc;

use kustomize::{Address, Chart, Charts, Errors, Options, Order, Remote, RemoteError, Restriction, build, flux, print};
use manifest::{Files, MemoryFiles, Object};

/// Folders of one tree that are built on their own, beside the root.
const FOLDERS: usize = 4;

/// Builds a tree of files as the command line does and as Flux does. The bytes hold its files one after another, each
/// below a line `-- path --`; what stands above the first is the root's kustomization. A file `flux` is the `spec` of a
/// Flux Kustomization, `rendered` what a chart or an address gives.
///
/// # Panics
/// If anything in the crate does, or if what was built cannot be read again.
pub fn check(bytes: &[u8]) {
    let files = tree(bytes);
    let text = |path: &str| files.read(path, manifest::Purpose::Recipe).ok()?.text().map(str::to_owned);
    let outside = Outside(text("rendered").unwrap_or_default());
    let spec = text("flux").and_then(|spec| yaml::from_str(&spec).ok()).unwrap_or_default();
    let by_hand = Options { order: Order::Legacy, restriction: Restriction::RootOnly, ..Options::default() };
    let by_flux = Options { remote: Some(&outside), charts: Some(&outside), ..Options::default() };
    let folders: BTreeSet<&str> =
        files.paths().filter_map(|path| path.strip_suffix("/kustomization.yaml")).take(FOLDERS).chain([""]).collect();
    for folder in folders {
        read_again(build(&files, folder, &by_hand));
        read_again(flux::build(&files, folder, &spec, &by_flux));
    }
}

/// Around a single file that is not trusted.
const AROUND: &str = "\
resources: [resource.yaml, base]
namePrefix: p-
namespace: apps
labels: [{pairs: {a: b}, includeSelectors: true}]
images: [{name: nginx, newTag: '1'}]
patches: [{path: patch.yaml, target: {kind: Deployment}}]
replacements: [{source: {kind: ConfigMap, fieldPath: data.a}, targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.a], options: {create: true}}]}]
-- base/kustomization.yaml --
configMapGenerator: [{name: conf, literals: [a=b]}]
-- resource.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: nginx, env: [{name: A, valueFrom: {configMapKeyRef: {name: conf, key: a}}}]}]
-- patch.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
";

/// Builds as Flux does a small tree in which one file is these bytes: `kustomization.yaml`, `patch.yaml` or
/// `resource.yaml`.
///
/// # Panics
/// As [`check`].
pub fn check_file(name: &str, bytes: &[u8]) {
    let mut files = tree(AROUND.as_bytes());
    files.insert(name, bytes);
    read_again(build(&files, "", &Options::default()));
}

fn tree(bytes: &[u8]) -> MemoryFiles {
    let (mut files, mut path, mut content) = (MemoryFiles::default(), "kustomization.yaml".to_owned(), Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let header = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("-- ")?.strip_suffix(" --\n"));
        let Some(next) = header else {
            content.extend(line);
            continue;
        };
        if let Ok(path) = manifest::normalize("", &path) {
            files.insert(path, std::mem::take(&mut content));
        }
        path = next.to_owned();
    }
    if let Ok(path) = manifest::normalize("", &path) {
        files.insert(path, content);
    }
    files
}

/// What is printed are as many objects again, and an error can be told.
fn read_again(built: Result<Vec<Object>, Errors>) {
    match built {
        Err(errors) => assert!(!errors.to_string().is_empty(), "an error says something"),
        Ok(objects) => {
            let printed = print(&objects);
            let documents = yaml::documents(&printed).into_iter().filter(|part| yaml::from_str(part.text).is_ok());
            assert_eq!(documents.count(), objects.len().max(1), "what is printed is read again: {printed}");
        }
    }
}

/// What lies outside of the tree.
struct Outside(String);

type Told<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Charts for Outside {
    fn render(&self, _: &Chart, _: &dyn Files) -> Told<String> {
        Ok(self.0.clone())
    }

    fn file(&self, _: &Chart, _: &str) -> Told<Option<Vec<u8>>> {
        Ok(Some(self.0.clone().into_bytes()))
    }
}

impl Remote for Outside {
    fn file(&self, _: &str) -> Result<Vec<u8>, RemoteError> {
        Ok(self.0.clone().into_bytes())
    }

    fn tree(&self, _: &Address) -> Result<Arc<dyn Files>, RemoteError> {
        Ok(Arc::new(tree(self.0.as_bytes())))
    }
}
