//! The layers of settings, read and merged: embedded defaults, /etc/tieline/tieline.toml, conf.d/*.toml in the order of
//! their names, `TIELINE_` environment, `--config` files. Called by the CLI at the start, and again for a reload.
//!
//! Tables merge key by key. Entries (`[[pbx]]`, `[[kustomer]]`, `[[client]]`, `[[carddav]]`) merge by `name`: a later
//! layer's keys override those of the entry of that name, a new name is a new entry. Lists are replaced as a whole.

use super::check;
use super::fault::Faults;
use super::file::File;
use super::origin::{Layer, LayerKind, Origins};
use super::schema::schema;
use super::shape;
use super::shown::{self, Setting};
use super::types::Settings;
use figment::Figment;
use figment::providers::Serialized;
use figment::value::Dict;
use serde_json::Value as Schema;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The lowest layer, and the documentation of every key.
pub const DEFAULTS: &str = include_str!("../../config/tieline.toml");

/// Largest file of settings or numbers, in bytes: a larger one is another file.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

const PREFIX: &str = "TIELINE_";

/// Between the parts of a key in a variable: `TIELINE_DAEMON__LISTEN`.
const SEPARATOR: &str = "__";

/// The log filter; read before there are settings.
const LOG_VARIABLE: &str = "TIELINE_LOG";

/// Where systemd puts the credentials of a service (systemd.exec(5)).
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Where settings come from. Nothing else is looked at: tests touch neither /etc nor the process's environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Folder of tieline.toml and conf.d; need not exist. Empty: none.
    pub etc: PathBuf,
    /// The environment; of it `TIELINE_*` and `CREDENTIALS_DIRECTORY` are used.
    pub env: Vec<(String, String)>,
    /// Files given on the command line, in order; each must exist.
    pub configs: Vec<PathBuf>,
}

/// The settings in force.
///
/// # Errors
/// Every fault of every layer at once; secret files that can't be used are among them.
pub fn load(sources: &Sources) -> Result<Settings, Faults> {
    load_with(sources, true)
}

/// The settings without a look into secret files: for commands that ask the running daemon, which an administrator may
/// call without being able to read its secrets.
///
/// # Errors
/// As [`load`], but for secret files.
pub fn load_without_secrets(sources: &Sources) -> Result<Settings, Faults> {
    load_with(sources, false)
}

/// Every setting with its value and where it was written, in the order of their names.
///
/// # Errors
/// As [`load`], but for secret files.
pub fn shown(sources: &Sources) -> Result<Vec<Setting>, Faults> {
    let mut read = Read::of(sources, false);
    let shown = shown::settings(&read.file, &read.places, &read.origins);
    check::check(&read.file, &read.places, &mut read.origins);
    read.origins.into_faults().map_or(Ok(shown), Err)
}

fn load_with(sources: &Sources, secrets: bool) -> Result<Settings, Faults> {
    let Read {
        file,
        places,
        mut origins,
    } = Read::of(sources, secrets);
    let settings = check::check(&file, &places, &mut origins);
    let notes = std::mem::take(&mut origins.notes);
    match (origins.into_faults(), settings) {
        (None, Some(settings)) => Ok(Settings { notes, ..settings }),
        (faults, _) => Err(faults.unwrap_or_else(|| Faults(Vec::new()))),
    }
}

/// All layers as one, not yet checked.
struct Read {
    file: File,
    places: check::Places,
    origins: Origins,
}

impl Read {
    fn of(sources: &Sources, secrets: bool) -> Self {
        let mut origins = Origins::default();
        let schema = schema();
        let etc = absolute(&sources.etc);
        origins.open(Layer {
            name: "defaults".to_owned(),
            dir: etc.clone(),
            kind: LayerKind::Defaults,
        });
        let defaults = shape::read(DEFAULTS, false, &schema, &mut origins);
        let mut merged = merge(Figment::new(), defaults);
        for file in etc_files(&sources.etc, &mut origins) {
            merged = merge(merged, read_file(&file, &schema, &mut origins));
        }
        let environment = read_environment(sources, &etc, &schema, &mut origins);
        merged = merge(merged, environment);
        for file in &sources.configs {
            merged = merge(merged, read_file(file, &schema, &mut origins));
        }
        let file = merged.extract::<File>().unwrap_or_else(|errors| {
            // The schema lets through only what can be read: a fault here has been reported there, or is ours.
            for error in errors {
                let what = "this is missing or can't be read";
                origins.missing(&error.path.join("."), what, "");
            }
            File::default()
        });
        let mut env = sources.env.iter();
        let credentials = env.find(|(name, _)| name == CREDENTIALS_VARIABLE);
        let places = check::Places {
            etc,
            credentials: credentials.map(|(_, dir)| PathBuf::from(dir)),
            secrets,
        };
        Self {
            file,
            places,
            origins,
        }
    }
}

fn merge(merged: Figment, layer: Dict) -> Figment {
    merged.merge(Serialized::defaults(layer))
}

/// tieline.toml if it is there, then conf.d/*.toml by name.
fn etc_files(etc: &Path, origins: &mut Origins) -> Vec<PathBuf> {
    if etc.as_os_str().is_empty() {
        return Vec::new();
    }
    let first = etc.join("tieline.toml");
    let mut files: Vec<PathBuf> = first.exists().then_some(first).into_iter().collect();
    let folder = etc.join("conf.d");
    match fs::read_dir(&folder) {
        Ok(entries) => {
            let mut more: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
                .collect();
            more.sort();
            files.extend(more);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => origins.fault_in(
            &folder.display().to_string(),
            None,
            "",
            format!("can't be read: {error}"),
        ),
    }
    files
}

fn read_file(file: &Path, schema: &Schema, origins: &mut Origins) -> Dict {
    let dir = absolute(file)
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    origins.open(Layer {
        name: file.display().to_string(),
        dir,
        kind: LayerKind::File,
    });
    match read_text(file) {
        Ok(text) => shape::read(&text, false, schema, origins),
        Err((line, what)) => {
            origins.unreadable(line, what);
            Dict::new()
        }
    }
}

/// The text of a file of settings, templates or numbers; a fault with its line, 0 for the file as a whole.
pub(super) fn read_text(file: &Path) -> Result<String, (usize, String)> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| (0, format!("can't be read: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err((
            0,
            format!("is larger than {FILE_BYTES_MAX} bytes; is it the right file?"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        (
            line,
            "this is not UTF-8 text; save the file as UTF-8".to_owned(),
        )
    })
}

/// `TIELINE_KUSTOMER__SUPPORT__ACTIVE=false` as the TOML line `"kustomer"."support"."active" = "false"`.
fn read_environment(sources: &Sources, etc: &Path, schema: &Schema, origins: &mut Origins) -> Dict {
    let (mut names, mut lines, mut secret) = (Vec::new(), String::new(), Vec::new());
    for (name, value) in &sources.env {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| name != LOG_VARIABLE) else {
            continue;
        };
        let key = rest.to_ascii_lowercase();
        if !key.contains(SEPARATOR) {
            if shape::is_secret(&key) {
                secret.push(name.clone());
            } else {
                let note = format!(
                    "{name} is not used: a setting is written as {PREFIX}DAEMON{SEPARATOR}LISTEN"
                );
                origins.notes.push(note);
            }
            continue;
        }
        let parts: Vec<String> = key.split(SEPARATOR).map(json_text).collect();
        lines.push_str(&format!("{} = {}\n", parts.join("."), json_text(value)));
        names.push(name.clone());
    }
    origins.open(Layer {
        name: "environment".to_owned(),
        dir: etc.to_owned(),
        kind: LayerKind::Environment(names),
    });
    for name in secret {
        origins.fault_in(
            &name,
            None,
            "",
            "secrets are not taken from the environment: name a file that holds it",
        );
    }
    shape::read(&lines, true, schema, origins)
}

/// A JSON text is a TOML text.
fn json_text(text: &str) -> String {
    Schema::from(text).to_string()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
