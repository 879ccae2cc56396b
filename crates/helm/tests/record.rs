//! Release records: as Helm writes them, and read again.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "what cannot be read stops the test")]

#[path = "support/disk.rs"]
#[expect(dead_code, reason = "other tests read lines")]
mod disk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::Disk;
use gotemplate::Still;
use gotemplate::go::base64;
use helm::record::{self, History, Release, Status, Written};
use helm::{Action, Chart, NoCluster, RenderOptions, render, values};
use manifest::Object;
use serde_json::{Value as Json, json};

const NOW: i128 = 1_795_253_640_123_000_000;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/record").join(name)
}

/// A Secret that Helm wrote.
fn helms(name: &str) -> Object {
    Object::new(serde_json::from_str(&std::fs::read_to_string(case(name)).unwrap()).unwrap()).unwrap()
}

/// Our revision 2 of the chart of which `deployed.json` is Helm's.
fn release() -> Release {
    let chart = Chart::load(&Disk::new(&case("in")), "").unwrap();
    let config = values::from_yaml(&std::fs::read_to_string(case("values.yaml")).unwrap()).unwrap();
    let options = RenderOptions { revision: 2, action: Action::Upgrade, ..RenderOptions::new("rel", "apps") };
    let rendered = render(&chart, &config, &options, Arc::new(NoCluster), &Still::default()).unwrap();
    let mut release = Release::new("rel", "apps", 2, &rendered, config, NOW);
    release.status = Status::Deployed;
    release.description = "<second>".into();
    release.labels.insert("team".into(), "a".into());
    release
}

/// The JSON in a record, without the times of files, which we do not keep.
fn packed(secret: &Object) -> Json {
    let outer = base64::decode(secret.text("/data/release").unwrap().as_bytes()).unwrap();
    let inner = base64::decode(&outer).unwrap();
    let mut value: Json = serde_json::from_reader(flate2::read::GzDecoder::new(inner.as_slice())).unwrap();
    let chart = value["chart"].as_object_mut().unwrap();
    chart.remove("modtime");
    chart.remove("schemamodtime");
    for field in ["templates", "files"] {
        for file in chart[field].as_array_mut().into_iter().flatten() {
            file.as_object_mut().unwrap().remove("modtime");
        }
    }
    value
}

#[test]
fn a_record_holds_what_helms_holds() {
    let (helms, mut own) = (helms("deployed.json"), release());
    let helms_release = record::decode(&helms).unwrap();
    own.first_deployed = helms_release.first_deployed;
    own.last_deployed = helms_release.last_deployed;
    own.hooks[1].1 = helms_release.hooks[1].1.clone();
    let own = packed(&record::encode(&own, Written::Created(NOW)).unwrap());
    let mut helms = packed(&helms);
    // The same moments; ours are told in UTC.
    for field in ["first_deployed", "last_deployed"] {
        helms["info"][field] =
            helms["info"][field].as_str().unwrap().replace("T12", "T11").replace("+01:00", "Z").into();
    }
    assert_eq!(own, helms);
}

#[test]
fn a_record_is_found_as_helms_is() {
    let (helms, own) = (helms("deployed.json"), record::encode(&release(), Written::Modified(NOW)).unwrap());
    for field in ["/metadata/name", "/metadata/namespace", "/type"] {
        assert_eq!(own.text(field), helms.text(field));
    }
    let labels = |secret: &Object| {
        let mut labels = secret.value()["metadata"]["labels"].clone();
        labels.as_object_mut().unwrap().remove("modifiedAt").unwrap();
        labels
    };
    assert_eq!(labels(&own), labels(&helms));
    assert_eq!(own.label("modifiedAt"), Some("1795253640"));
}

#[test]
fn what_helm_wrote_is_written_as_it_was() {
    for name in ["superseded.json", "deployed.json"] {
        let secret = helms(name);
        let once = record::decode(&secret).unwrap();
        let again = record::encode(&once, Written::Modified(NOW)).unwrap();
        let (mut helms, mut own) = (packed(&secret), packed(&again));
        for value in [&mut helms, &mut own] {
            value["info"]["first_deployed"].take();
            value["info"]["last_deployed"].take();
        }
        assert_eq!(own, helms);
        let twice = record::decode(&again).unwrap();
        assert_eq!((twice.first_deployed, twice.last_deployed), (once.first_deployed, once.last_deployed));
        assert_eq!((twice.labels, twice.hooks[1].1.clone()), (once.labels, once.hooks[1].1.clone()));
    }
}

#[test]
fn a_record_that_helm_wrote_is_read() {
    let release = record::decode(&helms("superseded.json")).unwrap();
    assert_eq!((release.name.as_str(), release.version, release.status), ("rel", 1, Status::Superseded));
    assert_eq!(release.first_deployed, Some(1_795_260_900_123_000_000));
    assert_eq!(release.labels, [("team".to_owned(), "a".to_owned())].into());
    assert_eq!(release.chart.schema.as_deref().unwrap(), std::fs::read(case("in/values.schema.json")).unwrap());
    assert_eq!(release.hooks[1].1.phase, "Succeeded");
    assert_eq!(format!("{release:?}"), "Release(apps/rel v1 superseded)");
}

#[test]
fn what_was_never_packed_is_read() {
    let text = base64::encode(base64::encode(br#"{"name":"old","version":4}"#).as_bytes());
    let release = record::decode(&Object::unchecked(json!({"data": {"release": text}}))).unwrap();
    assert_eq!((release.name.as_str(), release.version), ("old", 4));
}

#[test]
fn what_is_no_record_is_refused() {
    let twice = |bytes: &[u8]| json!({"data": {"release": base64::encode(base64::encode(bytes).as_bytes())}});
    for secret in
        [json!({}), json!({"data": {"release": "!"}}), json!({"data": {"release": "ZQ=="}}), twice(b"\x1f\x8b\x08x")]
    {
        assert!(record::decode(&Object::unchecked(secret)).is_err());
    }
    let error = record::decode(&Object::unchecked(twice(b"{}"))).unwrap_err();
    assert_eq!(error.to_string(), "the record is no release: name is missing");
}

/// A history of these, as revisions from 3, given the last one first.
fn history(statuses: &[Status]) -> History {
    let some = release();
    let newest_first = statuses.iter().zip(3..).collect::<Vec<_>>().into_iter().rev();
    History::new(newest_first.map(|(status, version)| Release { version, status: *status, ..some.clone() }))
}

fn versions<'r>(releases: impl IntoIterator<Item = &'r Release>) -> Vec<i64> {
    releases.into_iter().map(|release| release.version).collect()
}

#[test]
fn an_upgrade_follows_what_is_deployed_and_counts_from_the_last() {
    use Status::{Deployed, Failed, PendingUpgrade, Superseded, Uninstalled};
    let cases: [(&[Status], Option<i64>, i64); 6] = [
        (&[], None, 1),
        (&[Superseded, Deployed, Failed], Some(4), 6),
        (&[Superseded, Superseded], Some(4), 5),
        (&[Failed], Some(3), 4),
        (&[PendingUpgrade], None, 4),
        (&[Superseded, Uninstalled], None, 5),
    ];
    for (statuses, current, next) in cases {
        let history = history(statuses);
        assert_eq!((history.current().map(|release| release.version), history.next_revision()), (current, next));
    }
}

#[test]
fn a_history_is_cut_from_its_old_end_but_what_is_deployed_stays() {
    use Status::{Deployed, Failed, Superseded};
    let failing = history(&[Superseded, Deployed, Failed, Failed]);
    assert_eq!(versions(failing.excess(3)), [3, 5]);
    assert_eq!(versions(failing.excess(1)), [3, 5, 6]);
    assert_eq!(versions(failing.excess(5)), [0; 0]);
    assert_eq!(versions(failing.excess(0)), [0; 0]);
    assert_eq!(versions(failing.releases()), [3, 4, 5, 6]);
}
