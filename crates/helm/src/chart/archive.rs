//! Packed charts: gzip and tar, with a guard on paths and sizes.

use std::io::Read as _;
use std::sync::Arc;

use flate2::read::GzDecoder;

use super::File;
use super::load::ChartError;

/// Bytes that a chart may have when it is unpacked.
const MAX_CHART: u64 = 100 * 1024 * 1024;
/// Bytes that one file may have.
pub(super) const MAX_FILE: u64 = 5 * 1024 * 1024;
/// Files that a chart may have.
const MAX_FILES: usize = 50_000;

/// Unpacks a chart; names are relative to its folder.
///
/// # Errors
/// When it is no such archive, too large, or leads out of itself.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<File>, ChartError> {
    let mut files = Vec::new();
    let mut left = MAX_CHART;
    let unreadable = |source| ChartError::Unreadable { source };
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(MAX_CHART * 2));
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = inner_name(&path)?;
        if entry.size() > MAX_FILE {
            return Err(refused(format!(
                "decompressed chart file {path:?} is larger than the maximum file size {MAX_FILE}"
            )));
        }
        let mut data = Vec::new();
        entry.take(left).read_to_end(&mut data).map_err(unreadable)?;
        left = left.saturating_sub(data.len() as u64);
        if left == 0 || files.len() >= MAX_FILES {
            return Err(refused(format!("decompressed chart is larger than the maximum size {MAX_CHART}")));
        }
        files.push(File { name, data: trimmed(&data) });
    }
    if files.is_empty() {
        return Err(refused("no files in chart archive".into()));
    }
    Ok(files)
}

/// A file's content without the mark that some editors put before it.
pub(super) fn trimmed(data: &[u8]) -> Arc<[u8]> {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data).into()
}

fn refused(problem: String) -> ChartError {
    ChartError::Refused { problem }
}

/// The path below the chart's folder.
fn inner_name(path: &str) -> Result<String, ChartError> {
    let delimiter = if path.contains('\\') { '\\' } else { '/' };
    let (folder, inner) = path.split_once(delimiter).unwrap_or((path, ""));
    let inner = inner.replace(delimiter, "/");
    if inner.starts_with('/') {
        return Err(refused("chart illegally contains absolute paths".into()));
    }
    let name = gotemplate::go::path::clean(&inner);
    if folder == "Chart.yaml" {
        return Err(refused("chart yaml not in base directory".into()));
    }
    if name == "." {
        return Err(refused(format!("chart illegally contains content outside the base directory: {path:?}")));
    }
    if name.starts_with("..") {
        return Err(refused("chart illegally references parent directory".into()));
    }
    let mut start = name.bytes();
    if start.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && start.next() == Some(b':')
        && start.next() == Some(b'/')
    {
        return Err(refused("chart contains illegally named files".into()));
    }
    Ok(name)
}
