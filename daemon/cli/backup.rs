//! `tieline backup`: the running daemon's store in a file, whole or not at all; or a folder of such, the oldest ones
//! removed; or whether a file is whole.

use super::ask;
use super::{ConfigArgs, EXIT_FAILED, Exit};
use crate::clock;
use crate::recovery::{self, Checked};
use crate::settings::types::AdminAddress;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the files of a folder are called: by time, so that their names sort as they came.
const PREFIX: &str = "tieline-";
const SUFFIX: &str = ".backup";
const TIME: &str = "%Y-%m-%dT%H%M%SZ";
/// Behind the name as long as the file isn't whole.
const PARTIAL: &str = ".partial";
/// Of a backup's end, looked at where it isn't read again: the last line has some hundred.
const END_BYTES: usize = 256;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where it goes; `-`, or nothing in a pipe, is standard output. With --keep a folder
    #[arg(value_name = "FILE|DIR")]
    to: Option<PathBuf>,
    /// Name the file by time in that folder, and remove all but the latest N of such once it is whole
    #[arg(long, value_name = "N", requires = "to", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether a backup is whole and this tieline can read all of it; needs no daemon
    Check { file: PathBuf },
}

pub fn run(args: &BackupArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if let Some(Action::Check { file }) = &args.action {
        writeln!(out, "{}", told(file, &check(file)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let admin = args.config.load_to_ask()?.daemon.admin;
    match (&args.to, args.keep) {
        (Some(folder), Some(keep)) => {
            remove_partial(folder)?;
            let name = format!("{PREFIX}{}{SUFFIX}", clock::now().strftime(TIME));
            let file = folder.join(name);
            let checked = take(&admin, &file)?;
            writeln!(out, "{}", told(&file, &checked))?;
            for old in too_old(folder, usize::from(keep))? {
                fs::remove_file(&old).with_context(|| old.display().to_string())?;
                writeln!(out, "{} is removed", old.display())?;
            }
        }
        (Some(file), None) if file.as_os_str() != "-" => {
            let checked = take(&admin, file)?;
            writeln!(out, "{}", told(file, &checked))?;
        }
        (None, _) if io::stdout().is_terminal() => {
            return Err(Exit {
                code: EXIT_FAILED,
                text: "a backup is nothing to read: name a file, or put a pipe behind it"
                    .to_owned(),
            }
            .into());
        }
        _ => {
            let mut end = End {
                out,
                bytes: Vec::new(),
            };
            ask::download(&admin, "/backup", &mut end)?;
            end.is_whole()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a whole backup is, in words.
pub(super) fn told(file: &Path, checked: &Checked) -> String {
    let taken = checked
        .taken
        .map_or_else(String::new, |at| format!(", begun {at:.0}"));
    let lines = checked.lines.records;
    format!("{} is whole{taken}: {lines} lines", file.display())
}

fn check(file: &Path) -> anyhow::Result<Checked> {
    let shown = || file.display().to_string();
    let opened = File::open(file).with_context(shown)?;
    recovery::check(BufReader::new(opened)).with_context(shown)
}

/// Takes a backup beside the file's place, reads it back, and only then puts it there.
fn take(admin: &AdminAddress, file: &Path) -> anyhow::Result<Checked> {
    let partial = with_suffix(file, PARTIAL);
    let shown = || partial.display().to_string();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let mut to = options.open(&partial).with_context(shown)?;
    to.try_lock()
        .with_context(|| format!("{} is being written by another `tieline backup`", shown()))?;
    let taken = to
        .set_len(0)
        .with_context(shown)
        .and_then(|()| ask::download(admin, "/backup", &mut to))
        .and_then(|()| to.sync_all().with_context(shown))
        .and_then(|()| check(&partial));
    if taken.is_err() {
        // The fault itself says more than that the rest of it couldn't be removed.
        let _ = fs::remove_file(&partial);
        return taken;
    }
    fs::rename(&partial, file).with_context(shown)?;
    let folder = folder_of(file);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| folder.display().to_string())?;
    if let Ok(checked) = &taken {
        // For a restore of one of the older ones beside it.
        recovery::erasures::add(folder, &checked.erasures)
            .with_context(|| format!("{} is whole, but", file.display()))?;
    }
    taken
}

/// Where a file lies.
pub(super) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or_else(|| Path::new("."))
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What backups that were ended before their end left; one that is being written is locked.
fn remove_partial(folder: &Path) -> anyhow::Result<()> {
    for (name, path) in files(folder)? {
        let Some(name) = name.strip_suffix(PARTIAL) else {
            continue;
        };
        let abandoned = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if is_ours(name) && abandoned() {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// All but the latest of the folder's backups; nothing else that lies in it.
fn too_old(folder: &Path, keep: usize) -> anyhow::Result<Vec<PathBuf>> {
    let mut ours = files(folder)?;
    ours.retain(|(name, _)| is_ours(name));
    ours.sort();
    let old = ours.len().saturating_sub(keep);
    Ok(ours.into_iter().take(old).map(|(_, path)| path).collect())
}

fn files(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let shown = || folder.display().to_string();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(shown)? {
        let entry = entry.with_context(shown)?;
        files.push((
            entry.file_name().to_string_lossy().into_owned(),
            entry.path(),
        ));
    }
    Ok(files)
}

fn is_ours(name: &str) -> bool {
    let time = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    time.is_some_and(|time| jiff::civil::DateTime::strptime(TIME, time).is_ok())
}

/// Passes on what comes and looks at its end, where nothing can be read again.
struct End<'a> {
    out: &'a mut dyn Write,
    bytes: Vec<u8>,
}

impl Write for End<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.bytes.extend_from_slice(bytes);
        let before = self.bytes.len().saturating_sub(END_BYTES);
        self.bytes.drain(..before);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl End<'_> {
    fn is_whole(&self) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&self.bytes);
        let last = text.strip_suffix('\n').and_then(|text| text.lines().last());
        if last.is_some_and(|line| line.starts_with("{\"records\":")) {
            return Ok(());
        }
        Err(Exit {
            code: EXIT_FAILED,
            text: "the daemon ended the backup before its end; what came of it is useless"
                .to_owned(),
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_counted_as_backups() {
        assert!(is_ours("tieline-2026-11-28T021500Z.backup"));
        for other in [
            "tieline-2026-11-28T021500Z.backup.partial",
            "tieline-2026-11-28.backup",
            "tieline-before-update.backup",
            "tieline-2026-13-28T021500Z.backup",
            "other-2026-11-28T021500Z.backup",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
