//! Finds the files that hold secrets and sees whether they can be used, without keeping what is in them. Whoever needs
//! a secret reads its file when it is built. Called by `check.rs`.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Largest secret file, in bytes: keys and tokens are far smaller.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Longest path that is believed to be one, in characters; API keys are longer.
const PATH_CHARS_MAX: usize = 150;

/// What the unit's `LoadCredential=tieline:FOLDER` puts in front of the names of the folder's files.
const CREDENTIAL_PREFIX: &str = "tieline_";

/// The folder beside tieline.toml that the unit loads credentials from.
const CREDENTIALS_FOLDER: &str = "credentials";

/// Anybody on the machine may read it.
const WORLD_READABLE: u32 = 0o004;
/// Others than its owner may put another secret into it.
const CHANGEABLE: u32 = 0o022;

/// What is wrong with a secret file, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The daemon can't use it.
    Unusable(String),
    /// It works, but somebody should look at it.
    Doubtful(String),
}

/// The file that `written` stands for: a credential of this service of that name, else relative to `dir`, else in
/// /etc/tieline/credentials, where the unit takes credentials from.
pub fn locate(written: &str, dir: &Path, etc: &Path, credentials: Option<&Path>) -> PathBuf {
    let path = Path::new(written);
    let beside = dir.join(path);
    if path.is_absolute() {
        return beside;
    }
    let credential = credentials.into_iter().flat_map(|folder| {
        [
            folder.join(path),
            folder.join(format!("{CREDENTIAL_PREFIX}{written}")),
        ]
    });
    let candidates = credential.chain([beside.clone(), etc.join(CREDENTIALS_FOLDER).join(path)]);
    candidates
        .into_iter()
        .find(|candidate| candidate.is_file())
        .unwrap_or(beside)
}

/// Whether `written` is a secret where the name of its file belongs. It must not be repeated then.
pub fn looks_like_secret(written: &str) -> bool {
    written.chars().count() > PATH_CHARS_MAX
        || written.starts_with("eyJ")
        || written.contains(char::is_control)
}

/// Whether the file can be used.
pub fn probe(file: &Path) -> Option<Finding> {
    let shown = file.display();
    let mut bytes = Vec::new();
    let limit = u64::try_from(SECRET_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let read = fs::File::open(file).and_then(|open| {
        let meta = open.metadata()?;
        open.take(limit).read_to_end(&mut bytes)?;
        Ok(meta)
    });
    let meta = match read {
        Ok(meta) => meta,
        Err(error) => {
            return Some(Finding::Unusable(format!(
                "the file {shown} can't be read: {error}"
            )));
        }
    };
    if bytes.len() > SECRET_BYTES_MAX {
        return Some(Finding::Unusable(format!(
            "the file {shown} is over {SECRET_BYTES_MAX} bytes: is it the right one?"
        )));
    }
    let Ok(text) = str::from_utf8(&bytes) else {
        return Some(Finding::Unusable(format!("the file {shown} is not text")));
    };
    if text.trim().is_empty() {
        return Some(Finding::Unusable(format!(
            "the file {shown} is empty: write the secret into it, and nothing else"
        )));
    }
    if text.trim_end().contains('\n') {
        let what = format!(
            "the file {shown} has several lines: write the secret into it, and nothing else"
        );
        return Some(Finding::Unusable(what));
    }
    readable(&meta, file).map(Finding::Doubtful)
}

/// A remark if others may read or change the file, one that holds a key in several lines too.
pub fn open_to_all(file: &Path) -> Option<String> {
    readable(&fs::metadata(file).ok()?, file)
}

fn readable(meta: &fs::Metadata, file: &Path) -> Option<String> {
    let shown = file.display();
    let mode = meta.permissions().mode();
    if mode & WORLD_READABLE != 0 {
        return Some(format!(
            "everybody on this machine can read {shown}: chmod o= {shown}"
        ));
    }
    let changeable = mode & CHANGEABLE != 0;
    changeable.then(|| format!("others than its owner can change {shown}: chmod go-w {shown}"))
}
