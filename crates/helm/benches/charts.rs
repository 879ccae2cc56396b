//! Renders the charts that it reads, a JSON object each line, one after another in this process, and prints each output
//! behind its length, or -1 where it fails: the engine's half of `tests/bench/helm.py`, which says what is compared.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the benchmark has a clock, and reads files; what cannot be read stops it"
)]

#[path = "../tests/support/disk.rs"]
#[expect(dead_code, reason = "the tests read tables too")]
mod disk;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use disk::Disk;
use gotemplate::Environment;
use helm::values::{self, Values, strvals};
use helm::{Chart, KubeVersion, NoCluster, RenderOptions, render};
use serde_json::Value as Json;

/// The clock and the dice of this machine.
struct World;

impl Environment for World {
    fn now(&self) -> i128 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos().cast_signed())
    }

    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap_or_default();
    }

    fn rsa_key(&self, bits: usize) -> Option<Vec<u8>> {
        let size = if bits > 2048 { KeySize::Rsa4096 } else { KeySize::Rsa2048 };
        Some(KeyPair::generate(size).ok()?.as_der().ok()?.as_ref().to_vec())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for job in std::io::stdin().lines() {
        let job: Json = serde_json::from_str(&job?)?;
        match printed(&job) {
            Err(error) => {
                writeln!(std::io::stderr(), "{}: {error}", job["Chart"])?;
                writeln!(out, "-1")?;
            }
            Ok(text) => {
                writeln!(out, "{}", text.len())?;
                out.write_all(text.as_bytes())?;
            }
        }
    }
    Ok(out.flush()?)
}

fn printed(job: &Json) -> Result<String, Box<dyn Error>> {
    let text = |field: &str| job[field].as_str().unwrap_or_default();
    let chart = Chart::load(&Disk::new(Path::new(text("Chart"))), "")?;
    let mut given = Values::new();
    if !text("Values").is_empty() {
        given = values::from_yaml(&std::fs::read_to_string(text("Values"))?).map_err(|error| error.in_helms_words())?;
    }
    if !text("Set").is_empty() {
        strvals::parse(text("Set"), strvals::Mode::Typed, &mut given)?;
    }
    let mut options = RenderOptions::new("rel", "apps");
    options.capabilities.kube_version = KubeVersion::parse(text("Kube")).map_err(|error| error.to_string())?;
    let apis = job["APIs"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned);
    options.capabilities.api_versions.extend(apis);
    options.skips_schema = job["NoSchema"] == true;
    Ok(render(&chart, &given, &options, Arc::new(NoCluster), &World)?.template_output(true))
}
