//! Where each key came from: layer and line by the key's path, so that a fault found after merging still names its
//! place. Collects the faults of one load. Filled by `shape.rs`, asked by `check.rs` and
//! `shown.rs`.

use super::fault::{Fault, Faults};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Before the names of numbers in a path.
const LABELS: &str = ".labels.";

/// What a layer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// The embedded defaults.
    Defaults,
    File,
    /// Variable names; line n of the layer is variable n.
    Environment(Vec<String>),
}

/// One source of settings.
#[derive(Clone, Debug)]
pub struct Layer {
    /// As the administrator named it.
    pub name: String,
    /// What relative paths in it are relative to.
    pub dir: PathBuf,
    pub kind: LayerKind,
}

/// Where a value in force was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// Nowhere: it is built in.
    Default,
    /// File as the administrator named it, and line.
    File(String, usize),
    /// Variable of the environment.
    Variable(String),
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    layer: usize,
    line: usize,
}

/// The layers in order, the place of each key, and what is wrong so far.
#[derive(Debug, Default)]
pub struct Origins {
    layers: Vec<Layer>,
    places: BTreeMap<String, Place>,
    /// Keys whose value was refused: that they are missing now is no second fault.
    refused: BTreeSet<String>,
    /// Lines that are no TOML: what else is wrong there follows from that.
    broken: BTreeSet<(String, Option<usize>)>,
    /// With the layer's number, for the order of the report.
    faults: Vec<(usize, Fault)>,
    pub notes: Vec<String>,
}

impl Origins {
    /// Starts the next layer.
    pub fn open(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    /// The current layer has `path` in `line`.
    pub fn found(&mut self, path: &str, line: usize) {
        let layer = self.layers.len().saturating_sub(1);
        self.places.insert(path.to_owned(), Place { layer, line });
    }

    /// The value of `path` in the current layer can't be used; none of it is merged.
    pub fn refuse(&mut self, path: &str, line: usize, what: impl Into<String>, allowed: &str) {
        let layer = self.layers.len().saturating_sub(1);
        self.refused.insert(path.to_owned());
        self.push(Place { layer, line }, path, what.into(), allowed);
    }

    /// What is missing in `path` was refused already.
    pub fn refused(&mut self, path: &str) {
        self.refused.insert(path.to_owned());
    }

    /// The current layer can't be read in `line`, or (line 0) not at all.
    pub fn unreadable(&mut self, line: usize, what: impl Into<String>) {
        let layer = self.layers.len().saturating_sub(1);
        self.push(Place { layer, line }, "", what.into(), "");
        if let Some((_, fault)) = self.faults.last() {
            self.broken.insert((fault.file.clone(), fault.line));
        }
    }

    /// The value in force of `path` is wrong.
    pub fn fault(&mut self, path: &str, what: impl Into<String>, allowed: &str) {
        match self.place(path) {
            Some(place) => self.push(place, path, what.into(), allowed),
            None => self.fault_in("configuration", None, path, what),
        }
    }

    /// `path` is needed and not there. Not said of what was refused, nor where a file could only be read in part.
    pub fn missing(&mut self, path: &str, what: &str, allowed: &str) {
        if !self.refused.contains(path) && !self.is_partial() {
            self.fault(path, what, allowed);
        }
    }

    /// A fault in a file that is no layer (a number list).
    pub fn fault_in(
        &mut self,
        file: &str,
        line: Option<usize>,
        key: &str,
        what: impl Into<String>,
    ) {
        let fault = Fault {
            file: file.to_owned(),
            line,
            key: key.to_owned(),
            what: what.into(),
            allowed: String::new(),
        };
        self.faults.push((usize::MAX, fault));
    }

    /// Whether some file is no TOML: then what seems to be missing may be in its broken part.
    pub fn is_partial(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Whether an administrator set `path`, or anything below it.
    pub fn is_set(&self, path: &str) -> bool {
        let below = |key: &str| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let by_hand = |place: &Place| {
            self.layers
                .get(place.layer)
                .is_some_and(|layer| layer.kind != LayerKind::Defaults)
        };
        self.places
            .range(path.to_owned()..)
            .take_while(|(key, _)| key.starts_with(path))
            .any(|(key, place)| below(key) && by_hand(place))
    }

    /// Where `path` itself was set.
    pub fn whence(&self, path: &str) -> Whence {
        self.places
            .get(path)
            .map_or(Whence::Default, |place| self.whence_of(*place))
    }

    /// Where `path` was set, or the last of what is below it.
    pub fn around(&self, path: &str) -> Whence {
        let below = |key: &str| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let last = self
            .places
            .range(path.to_owned()..)
            .take_while(|(key, _)| key.starts_with(path))
            .filter(|(key, _)| *key == path || below(key))
            .map(|(_, place)| *place)
            .max_by_key(|place| (place.layer, place.line));
        last.map_or(Whence::Default, |place| self.whence_of(place))
    }

    /// The folder that a relative path written at `path` starts from.
    pub fn dir(&self, path: &str) -> &Path {
        self.place(path)
            .and_then(|place| self.layers.get(place.layer))
            .map_or(Path::new(""), |layer| layer.dir.as_path())
    }

    /// Every fault, in the order of layers and lines; none: the settings may be used.
    pub fn into_faults(mut self) -> Option<Faults> {
        let broken = self.broken;
        self.faults.retain(|(_, fault)| {
            fault.key.is_empty() || !broken.contains(&(fault.file.clone(), fault.line))
        });
        self.faults.sort_by(|(layer, fault), (other_layer, other)| {
            let place = (layer, &fault.file, fault.line, &fault.key);
            place.cmp(&(other_layer, &other.file, other.line, &other.key))
        });
        let mut faults: Vec<Fault> = self.faults.into_iter().map(|(_, fault)| fault).collect();
        faults.dedup();
        (!faults.is_empty()).then_some(Faults(faults))
    }

    fn whence_of(&self, place: Place) -> Whence {
        let layer = self.layers.get(place.layer);
        match layer.map(|layer| (&layer.kind, &layer.name)) {
            None | Some((LayerKind::Defaults, _)) => Whence::Default,
            Some((LayerKind::File, name)) => Whence::File(name.clone(), place.line),
            Some((LayerKind::Environment(variables), name)) => {
                let index = place.line.checked_sub(1);
                let variable = index.and_then(|index| variables.get(index));
                Whence::Variable(variable.unwrap_or(name).clone())
            }
        }
    }

    fn push(&mut self, place: Place, key: &str, what: String, allowed: &str) {
        let layer = self.layers.get(place.layer);
        let (file, line) = match layer.map(|layer| (&layer.name, &layer.kind)) {
            Some((name, LayerKind::Environment(variables))) => {
                let variable = place
                    .line
                    .checked_sub(1)
                    .and_then(|index| variables.get(index));
                (variable.unwrap_or(name).clone(), None)
            }
            Some((name, LayerKind::Defaults | LayerKind::File)) => {
                (name.clone(), (place.line > 0).then_some(place.line))
            }
            None => (String::new(), None),
        };
        // The keys of labels are numbers, which are not repeated; the line leads there.
        let key = key
            .find(LABELS)
            .and_then(|at| key.get(..at + LABELS.len() - 1))
            .unwrap_or(key);
        let fault = Fault {
            file,
            line,
            key: key.to_owned(),
            what,
            allowed: allowed.to_owned(),
        };
        self.faults.push((place.layer, fault));
    }

    /// The place of `path`, else that of what it stands in.
    fn place(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = path.rsplit_once(['.', '[']).map(|(parent, _)| parent)?;
        }
    }
}
