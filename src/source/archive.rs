//! The archive that Flux's source-controller stores for a tree, to the byte: its digest is the artifact's.
//!
//! A gzipped tar of files and folders in the order of a walk by name; owner, times and all but three modes are wiped.
//! The bytes are made by Go's `archive/tar` and `compress/gzip`; their choices are part of the digest, so they are
//! made here as they make them ([`deflate`]), down to the sizes of the pieces that are handed on.

mod deflate;

use std::io::{self, Write};

use manifest::FilesError;
use sha2::{Digest as _, Sha256};

use crate::artifact::Measure;
use deflate::Deflater;

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Path from the root.
    pub path: String,
    /// What it is.
    pub kind: ItemKind,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A file that may be executed.
    Program,
}

/// What can be archived.
pub trait Tree: Send + Sync {
    /// Every entry, as Go's `filepath.Walk` meets them: by name, a folder before what is below it.
    fn items(&self) -> &[Item];

    /// The bytes of the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn content(&self, path: &str) -> Result<Vec<u8>, FilesError>;
}

/// Digest and size of a tree's archive. Nothing is kept: memory holds one file at a time.
///
/// # Errors
/// When a file cannot be read.
pub fn measure(tree: &impl Tree) -> Result<Measure, FilesError> {
    let mut archive = Archive { gzip: Gzip::new(Sink::default()) };
    let root = Item { path: ".".into(), kind: ItemKind::Folder };
    for item in std::iter::once(&root).chain(tree.items()) {
        let content = match item.kind {
            ItemKind::Folder => Vec::new(),
            ItemKind::File | ItemKind::Program => tree.content(&item.path)?,
        };
        archive.add(item, &content).map_err(|error| unwritten(&item.path, error))?;
    }
    let sink = archive.finish().map_err(|error| unwritten(".", error))?;
    Ok(Measure { digest: format!("sha256:{:x}", sink.hash.finalize()), size: sink.size })
}

/// Hashing does not fail; the traits between say it might.
fn unwritten(path: &str, error: io::Error) -> FilesError {
    FilesError::Store { path: path.into(), source: error.into() }
}

#[derive(Default)]
struct Sink {
    hash: Sha256,
    size: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `gzip.NewWriter`: no name, no time, unknown system.
struct Gzip<W> {
    deflater: Deflater<W>,
    sum: flate2::Crc,
}

impl<W: Write> Gzip<W> {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

    fn new(mut sink: W) -> Self {
        // A sink in memory takes everything.
        let _ = sink.write_all(&Self::HEAD);
        Self { deflater: Deflater::new(sink), sum: flate2::Crc::new() }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.sum.update(piece);
        self.deflater.write(piece)
    }

    fn finish(self) -> io::Result<W> {
        let mut sink = self.deflater.finish()?;
        sink.write_all(&self.sum.sum().to_le_bytes())?;
        sink.write_all(&self.sum.amount().to_le_bytes())?;
        Ok(sink)
    }
}

const BLOCK: usize = 512;

/// The size of the pieces in which Go copies a file.
const PIECE: usize = 32 * 1024;

struct Archive<W> {
    gzip: Gzip<W>,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, item: &Item, content: &[u8]) -> io::Result<()> {
        let name = Name::of(&item.path);
        if name.is_recorded {
            self.record(&item.path)?;
        }
        let (mode, kind) = match item.kind {
            ItemKind::Folder => (0o750, b'5'),
            ItemKind::File => (0o600, b'0'),
            ItemKind::Program => (0o700, b'0'),
        };
        let mut header = Header::new(&name.name, mode, kind, content.len());
        header.put(345, name.prefix.as_bytes());
        header.number(329, 8, 0);
        header.number(337, 8, 0);
        self.file(header, content)
    }

    /// The PAX record of a name that does not fit the header.
    fn record(&mut self, path: &str) -> io::Result<()> {
        let data = record(path);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name =
            if folder.is_empty() { format!("PaxHeaders.0/{name}") } else { format!("{folder}/PaxHeaders.0/{name}") };
        let name = ascii(&name);
        let name = name[..name.len().min(100)].trim_end_matches('/');
        self.file(Header::new(name, 0, b'x', data.len()), data.as_bytes())
    }

    fn file(&mut self, header: Header, content: &[u8]) -> io::Result<()> {
        self.gzip.write(&header.sealed())?;
        content.chunks(PIECE).try_for_each(|piece| self.gzip.write(piece))?;
        self.gzip.write(&[0; BLOCK][..content.len().next_multiple_of(BLOCK) - content.len()])
    }

    fn finish(mut self) -> io::Result<W> {
        self.gzip.write(&[0; BLOCK])?;
        self.gzip.write(&[0; BLOCK])?;
        self.gzip.finish()
    }
}

/// `<length> path=<path>`, where the length counts its own digits.
fn record(path: &str) -> String {
    let rest = path.len() + " path=\n".len();
    let guess = rest + rest.to_string().len();
    let length = rest + guess.to_string().len();
    format!("{length} path={path}\n")
}

fn ascii(text: &str) -> String {
    text.chars().filter(char::is_ascii).collect()
}

/// A path as a header holds it.
struct Name {
    name: String,
    prefix: String,
    /// It does not fit, even in two parts, or is not ASCII: a PAX record before the header has it.
    is_recorded: bool,
}

impl Name {
    fn of(path: &str) -> Self {
        if path.is_ascii() && path.len() <= 100 {
            return Self { name: path.into(), prefix: String::new(), is_recorded: false };
        }
        if let Some((prefix, name)) = split(path) {
            return Self { name: name.into(), prefix: prefix.into(), is_recorded: false };
        }
        let name = ascii(path);
        let name = if name.len() > 100 { name[..100].trim_end_matches('/') } else { &name };
        Self { name: name.into(), prefix: String::new(), is_recorded: true }
    }
}

/// Splits a path at its last slash that leaves at most 155 bytes before.
fn split(path: &str) -> Option<(&str, &str)> {
    if !path.is_ascii() {
        return None;
    }
    let (prefix, _) = path[..path.len().min(156)].rsplit_once('/')?;
    let name = &path[prefix.len() + 1..];
    (!prefix.is_empty() && !name.is_empty() && name.len() <= 100).then_some((prefix, name))
}

struct Header {
    block: [u8; BLOCK],
}

impl Header {
    /// A USTAR header; owner and time are zero.
    fn new(name: &str, mode: usize, kind: u8, size: usize) -> Self {
        let mut header = Self { block: [0; BLOCK] };
        header.put(0, name.as_bytes());
        for (at, width, value) in [(100, 8, mode), (108, 8, 0), (116, 8, 0), (124, 12, size), (136, 12, 0)] {
            header.number(at, width, value);
        }
        header.put(156, &[kind]);
        header.put(257, b"ustar\x0000");
        header
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Octal digits and a NUL.
    fn number(&mut self, at: usize, width: usize, value: usize) {
        self.put(at, format!("{value:0digits$o}", digits = width - 1).as_bytes());
    }

    /// With its checksum, for which its own field counts as blanks.
    fn sealed(mut self) -> [u8; BLOCK] {
        self.put(148, b"        ");
        let sum: usize = self.block.iter().map(|byte| usize::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.block
    }
}
