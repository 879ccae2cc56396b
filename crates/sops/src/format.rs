//! The five formats of files, and how an encrypted one is known.

/// The format of a file, which decides how it is read and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// YAML, of several documents too.
    Yaml,
    /// A JSON object.
    Json,
    /// Lines of `KEY=value`.
    Dotenv,
    /// Sections of `key = value`.
    Ini,
    /// Any bytes; when encrypted, JSON with the one key `data`.
    Binary,
}

impl Format {
    /// The format that a path's ending tells; everything unknown is binary.
    #[must_use]
    pub fn from_path(path: &str) -> Format {
        let endings = [
            (".yaml", Format::Yaml),
            (".yml", Format::Yaml),
            (".json", Format::Json),
            (".env", Format::Dotenv),
            (".ini", Format::Ini),
        ];
        endings.into_iter().find(|(ending, _)| path.ends_with(ending)).map_or(Format::Binary, |(_, format)| format)
    }

    /// The format that `--input-type` and `--output-type` of sops mean; they take an unknown name for none given.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Format> {
        Some(match name {
            "yaml" => Format::Yaml,
            "json" => Format::Json,
            "dotenv" => Format::Dotenv,
            "ini" => Format::Ini,
            "binary" => Format::Binary,
            _ => return None,
        })
    }

    /// The name in messages and options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Yaml => "yaml",
            Format::Json => "json",
            Format::Dotenv => "dotenv",
            Format::Ini => "ini",
            Format::Binary => "binary",
        }
    }

    /// The text that Flux looks for before it takes a file of this format for an encrypted one.
    fn marker(self) -> &'static str {
        match self {
            Format::Yaml => "mac: ENC[",
            Format::Json | Format::Binary => "\"mac\": \"ENC[",
            Format::Dotenv => "sops_mac=ENC[",
            Format::Ini => "[sops]",
        }
    }
}

/// Whether Flux takes the bytes for an encrypted file of this format: they hold the format's marker.
#[must_use]
pub fn is_encrypted(bytes: &[u8], format: Format) -> bool {
    let marker = format.marker().as_bytes();
    bytes.windows(marker.len()).any(|window| window == marker)
}

/// The format of encrypted bytes of unknown origin, by the markers; `None` when they hold none. Flux asks in a random
/// order; where several markers stand in one text the more telling one is taken here.
#[must_use]
pub fn detect(bytes: &[u8]) -> Option<Format> {
    let formats = [Format::Json, Format::Dotenv, Format::Yaml, Format::Ini];
    formats.into_iter().find(|format| is_encrypted(bytes, *format))
}
