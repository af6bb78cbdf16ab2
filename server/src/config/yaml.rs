//! The one place that names the YAML library.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::{Options, SerializerOptions};

use super::limits;

/// Why a configuration document cannot be used. Show it; keep the configuration in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("open {}: {}", .file.display(), os_text(.source))]
    Read {
        /// Which file.
        file: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file is larger than any real one.
    #[error("{}: {bytes} bytes, more than the limit of {} bytes", .file.display(), limits::CONFIG_FILE_BYTES_MAX)]
    TooLarge {
        /// Which file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The text is not the document it should be.
    #[error("parsing YAML file {}: {what}", .file.display())]
    Parse {
        /// Which file.
        file: PathBuf,
        /// Position and reason.
        what: String,
    },
}

/// Operating system errors in the words people grep for.
fn os_text(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => e.to_string(),
    }
}

impl ConfigError {
    /// A parse error without position.
    pub(crate) fn parse(file: &Path, what: impl fmt::Display) -> Self {
        Self::Parse {
            file: file.to_owned(),
            what: what.to_string(),
        }
    }
}

/// Reads a configuration file's text, within [`limits::CONFIG_FILE_BYTES_MAX`].
///
/// # Errors
/// When it cannot be read, is too large or not UTF-8.
pub(crate) fn read(file: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        file: file.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    if bytes > limits::CONFIG_FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            file: file.to_owned(),
            bytes,
        });
    }
    let text = std::fs::read(file).map_err(failed)?;
    String::from_utf8(text).map_err(|e| {
        ConfigError::parse(
            file,
            format_args!("invalid UTF-8 at byte {}", e.utf8_error().valid_up_to()),
        )
    })
}

/// Parses one document. `file` is only named in errors.
///
/// # Errors
/// With line, column and reason.
pub(crate) fn parse<T: DeserializeOwned + Default>(
    file: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    let mut options = Options::default();
    options.budget = serde_saphyr::budget! {
        max_nodes: limits::CONFIG_NODES_MAX,
        max_events: limits::CONFIG_NODES_MAX * 4,
        max_depth: limits::CONFIG_DEPTH_MAX,
    };
    options.with_snippet = false;
    let document: Option<T> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|e| ConfigError::parse(file, describe(&e)))?;
    Ok(document.unwrap_or_default())
}

/// `line L column C: reason`, without the library's advice on its own options.
fn describe(e: &serde_saphyr::Error) -> String {
    let text = e.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = match text.rfind(" at line ") {
        Some(i) => text.get(..i).unwrap_or(text),
        None => text,
    };
    let text = text
        .strip_suffix(", set DuplicateKeyPolicy in Options if acceptable")
        .unwrap_or(text);
    match e.location() {
        Some(l) => format!("line {} column {}: {text}", l.line(), l.column()),
        None => text.to_owned(),
    }
}

/// The document as YAML text.
pub(crate) fn render<T: Serialize>(document: &T) -> String {
    let mut options = SerializerOptions::default();
    options.prefer_block_scalars = false;
    serde_saphyr::to_string_with_options(document, options)
        .unwrap_or_else(|e| format!("# cannot be rendered: {e}\n"))
}
