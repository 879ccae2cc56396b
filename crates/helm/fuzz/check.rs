//! What must hold for any bytes, for the fuzzer and for the replay of its seeds.

use std::sync::{Arc, LazyLock};

use flate2::Crc;
use gotemplate::go::base64;
use gotemplate::{Limits, Still};
use helm::record::{self, Release, Written};
use helm::values::{self, Values, schema, strvals};
use helm::{Chart, KubeVersion, NoCluster, RenderOptions, render};
use manifest::{MemoryFiles, Object};
use serde_json::json;

/// Reads the bytes as everything that a chart, a command line or a cluster may hold.
///
/// # Panics
/// If anything in the crate does, or if a record or an archive does not survive being written and read.
pub fn check(bytes: &[u8]) {
    archive(bytes);
    lint(bytes);
    record(bytes);
    let text = String::from_utf8_lossy(bytes);
    let values = values(&text);
    let _ = schema::check_one(&values, bytes);
    if let Ok(version) = KubeVersion::parse(&text) {
        let _ = version.fits(&text);
    }
    for file in ["Chart.yaml", "values.yaml", "values.schema.json", ".helmignore", "templates/a.yaml", "crds/a.yaml"] {
        chart(file, bytes, &values);
    }
}

/// A gzip file of the bytes as they are: making them smaller would take longer than what is checked.
fn packed(bytes: &[u8]) -> Vec<u8> {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut packed = HEAD.to_vec();
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        packed.push(0);
        packed.extend(length.to_le_bytes().into_iter().chain((!length).to_le_bytes()).chain(block.iter().copied()));
    }
    let mut sum = Crc::new();
    sum.update(bytes);
    packed.extend([1, 0, 0, 255, 255]);
    packed.extend(sum.sum().to_le_bytes().into_iter().chain(sum.amount().to_le_bytes()));
    packed
}

fn archive(bytes: &[u8]) {
    let _ = Chart::from_archive(bytes);
    if let Ok(chart) = Chart::from_archive(&packed(bytes)) {
        let _ = (chart.check_installable(), chart.crds(), chart.with_dependencies(&Values::new()));
    }
}

/// Looks for what is wrong with a chart that is nothing but the bytes, and with one around them.
fn lint(bytes: &[u8]) {
    let mut files = MemoryFiles::default();
    for file in ["Chart.yaml", "values.yaml", "templates/a.yaml", "crds/a.yaml"] {
        files.insert(file, bytes);
        let mut options = RenderOptions::new("rel", "apps");
        options.limits = Limits { steps: 5_000, bytes: 1 << 18, depth: 40 };
        let _ = helm::lint(&files, "", "c", &Values::new(), options, &Still::default());
        files.insert("Chart.yaml", "{apiVersion: v2, name: c, version: 0.1.0}");
    }
}

/// A packed chart, or one to be packed.
pub fn check_archive(bytes: &[u8]) {
    archive(bytes);
}

/// The source of a template in a chart.
pub fn check_template(bytes: &[u8]) {
    chart("templates/a.yaml", bytes, &Values::new());
}

/// Values, those of a chart and a user's, and a schema for them. Nothing is rendered: many more are tried for that.
pub fn check_values(bytes: &[u8]) {
    static PARENT: LazyLock<Option<Chart>> = LazyLock::new(|| Chart::load(&parent(), "").ok());
    let text = String::from_utf8_lossy(bytes);
    let values = values(&text);
    let _ = schema::check_one(&values, bytes);
    let Some(mut chart) = PARENT.clone() else { return };
    if let Ok(chart) = chart.with_dependencies(&values) {
        let _ = values::coalesce(&chart, values.clone());
    }
    chart.values = values;
    if let Ok(chart) = chart.with_dependencies(&Values::new()) {
        let _ = values::coalesce(&chart, Values::new());
    }
}

fn record(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), packed(bytes)] {
        let release = base64::encode(base64::encode(&bytes).as_bytes());
        let secret = json!({"metadata": {"labels": {"a": "b"}}, "data": {"release": release}});
        let Ok(release) = record::decode(&Object::unchecked(secret)) else { continue };
        let written = |release: &Release| record::encode(release, Written::Created(0)).ok();
        let once = written(&release);
        let again = once.as_ref().and_then(|secret| record::decode(secret).ok()).and_then(|release| written(&release));
        let release = |secret: &Option<Object>| secret.as_ref()?.text("/data/release").map(str::to_owned);
        assert!(release(&once).is_some() && release(&once) == release(&again), "a record is read as it was written");
    }
}

/// The values that the text holds, as a file or as an argument.
fn values(text: &str) -> Values {
    let mut values = values::from_yaml(text).unwrap_or_default();
    let read = |_: &str| Ok(String::new());
    for mode in [
        strvals::Mode::Typed,
        strvals::Mode::Text,
        strvals::Mode::Literal,
        strvals::Mode::Json,
        strvals::Mode::File(&read),
    ] {
        let _ = strvals::parse(text, mode, &mut values);
    }
    values
}

/// A chart with a dependency.
fn parent() -> MemoryFiles {
    let mut files = MemoryFiles::default();
    let depends = "{name: d, version: 1.x.x, condition: d.on, tags: [t], import-values: [a, {child: b, parent: c}]}";
    files.insert("Chart.yaml", format!("{{apiVersion: v2, name: c, version: 0.1.0, dependencies: [{depends}]}}"));
    files.insert("charts/d/Chart.yaml", "{apiVersion: v2, name: d, version: 1.0.0}");
    files.insert("charts/d/values.yaml", "{exports: {a: {x: 1}}, b: {y: 2}, global: {g: 3}}");
    files
}

/// Renders a chart that has the bytes as one of its files.
fn chart(file: &str, bytes: &[u8], values: &Values) {
    let mut files = parent();
    files.insert("charts/d/templates/d.yaml", "d: {{ .Values | toJson }}\n---\n{{ .Values | toToml | indent 2 }}");
    files.insert("templates/b.yaml", "{{ toYaml .Values }}\n---\n{{ (.Files.Glob \"**\").AsConfig }}");
    files.insert(
        "templates/c.yaml",
        "{{ range $path, $text := .Files }}{{ $read := fromToml (toString $text) }}{{ toToml $read }}{{ end }}",
    );
    files.insert("text", bytes);
    files.insert(file, bytes);
    let Ok(chart) = Chart::load(&files, "") else { return };
    let mut options = RenderOptions::new("rel", "apps");
    options.limits = Limits { steps: 20_000, bytes: 1 << 20, depth: 40 };
    if let Ok(rendered) = render(&chart, values, &options, Arc::new(NoCluster), &Still::default()) {
        let _ = rendered.template_output(true);
    }
}
