//! Asterisk's CSV file of call records, read back for the time in which nobody listened: what was written behind a mark,
//! also where the file was rotated in between. Blocking; `desk` calls it off the runtime.

use super::memory::Mark;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Read at once: some three thousand rows.
const PART_BYTES_MAX: usize = 1024 * 1024;

/// So far back a mark looks for the end of a row, should one be half written.
const ROW_BYTES_MAX: u64 = 64 * 1024;

/// Rows behind a mark.
#[derive(Debug, Default)]
pub struct Part {
    /// One record each, with the line of columns' names in front if the file has one.
    pub rows: Vec<Bytes>,
    pub mark: Option<Mark>,
    /// There is more to read.
    pub more: bool,
    /// The file that the mark was in is gone (compressed, removed): its last rows could not be read.
    pub lost: bool,
}

/// The mark where there is no file yet: all of the one that comes is new. No file has this number.
const NO_FILE: Mark = Mark {
    inode: 0,
    offset: 0,
};

/// Where the file ends now, behind its last whole row.
pub fn end(path: &Path) -> io::Result<Mark> {
    let Some((mut file, inode, size)) = open(path)? else {
        return Ok(NO_FILE);
    };
    let from = size.saturating_sub(ROW_BYTES_MAX);
    let tail = read(&mut file, from, size.saturating_sub(from))?;
    let row_end = tail.iter().rposition(|byte| *byte == b'\n');
    let whole = row_end.map_or(0, |at| at as u64 + 1);
    let offset = if row_end.is_some() || from == 0 {
        from + whole
    } else {
        size
    };
    Ok(Mark { inode, offset })
}

/// What stands behind the mark; without a mark nothing does, and there is one from then on.
pub fn read_on(path: &Path, mark: Option<Mark>) -> io::Result<Part> {
    let Some((mut file, inode, size)) = open(path)? else {
        return Ok(Part {
            mark,
            ..Part::default()
        });
    };
    let Some(mark) = mark else {
        let mark = Some(end(path)?);
        return Ok(Part {
            mark,
            ..Part::default()
        });
    };
    if mark.inode == inode {
        // Shorter than the mark: it was copied away and emptied.
        let offset = if size < mark.offset { 0 } else { mark.offset };
        return part(&mut file, Mark { inode, offset });
    }
    let fresh = Mark { inode, offset: 0 };
    if mark == NO_FILE {
        return part(&mut file, fresh);
    }
    match rotated(path, mark.inode)? {
        Some(mut old) => {
            let rest = part(&mut old, mark)?;
            let (next, more) = if rest.more {
                (rest.mark, true)
            } else {
                (Some(fresh), true)
            };
            Ok(Part {
                mark: next,
                more,
                ..rest
            })
        }
        None => Ok(Part {
            mark: Some(fresh),
            more: true,
            lost: true,
            ..Part::default()
        }),
    }
}

fn part(file: &mut File, mark: Mark) -> io::Result<Part> {
    let head = read(file, 0, ROW_BYTES_MAX)?;
    let head = records(&head)
        .0
        .into_iter()
        .next()
        .filter(|line| names_columns(line));
    let text = read(file, mark.offset, PART_BYTES_MAX as u64)?;
    let (lines, mut whole) = records(&text);
    let full = text.len() >= PART_BYTES_MAX;
    if whole == 0 && full {
        // No row is that long: what is open here is a quote that never closes.
        whole = text.len();
    }
    let rows = lines.into_iter().filter(|line| !names_columns(line));
    let rows = rows.map(|line| match head {
        Some(head) => Bytes::from([head, line].join(&b'\n')),
        None => Bytes::copy_from_slice(line),
    });
    Ok(Part {
        rows: rows.collect(),
        mark: Some(Mark {
            inode: mark.inode,
            offset: mark.offset + whole as u64,
        }),
        more: full,
        lost: false,
    })
}

/// The whole records of a text, and how many bytes they take. Line ends inside quotes end none.
fn records(text: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut lines, mut quoted, mut start) = (Vec::new(), false, 0_usize);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                let line = text.get(start..at).unwrap_or_default().trim_ascii();
                lines.extend((!line.is_empty()).then_some(line));
                start = at + 1;
            }
            _ => {}
        }
    }
    (lines, start)
}

/// A line of columns' names has no time, no channel and no number: only words.
fn names_columns(line: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphabetic() || b"_,\" ".contains(byte);
    line.iter().all(word) && line.windows(8).any(|part| part == b"uniqueid")
}

/// The file that had that number, under a longer name in the same folder (`Master.csv.1`).
fn rotated(path: &Path, inode: u64) -> io::Result<Option<File>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let alike = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(name.as_encoded_bytes());
        if alike && entry.metadata()?.ino() == inode {
            return File::open(entry.path()).map(Some);
        }
    }
    Ok(None)
}

fn open(path: &Path) -> io::Result<Option<(File, u64, u64)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    Ok(Some((file, meta.ino(), meta.len())))
}

fn read(file: &mut File, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read_on`], off the runtime.
pub async fn read_on_aside(path: PathBuf, mark: Option<Mark>) -> io::Result<Part> {
    let read = tokio::task::spawn_blocking(move || read_on(&path, mark));
    read.await.map_err(io::Error::other)?
}

/// As [`end`], off the runtime.
pub async fn end_aside(path: PathBuf) -> io::Result<Mark> {
    let read = tokio::task::spawn_blocking(move || end(&path));
    read.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn append(path: &Path, text: &str) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// All rows behind the mark, and the mark behind them.
    fn all(path: &Path, mut mark: Option<Mark>) -> (Vec<String>, Option<Mark>, bool) {
        let (mut rows, mut lost) = (Vec::new(), false);
        loop {
            let part = read_on(path, mark).unwrap();
            let text = |row: &Bytes| String::from_utf8(row.to_vec()).unwrap();
            rows.extend(part.rows.iter().map(text));
            mark = part.mark;
            lost |= part.lost;
            if !part.more {
                return (rows, mark, lost);
            }
        }
    }

    #[test]
    fn only_whole_rows_behind_the_mark_are_read_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Master.csv");
        let (_, mark, _) = all(&path, Some(end(&path).unwrap()));
        append(&path, "\"first\",0\n");
        assert_eq!(
            all(&path, mark).0,
            ["\"first\",0"],
            "there was no file at the mark"
        );
        append(&path, "\"a\",1\n\"b\",2\n\"half");
        let (rows, mark, _) = all(&path, None);
        assert!(
            rows.is_empty(),
            "what stood there before the first mark isn't ours"
        );
        append(&path, " a\nrow\",3\n\"c\",4\n\"d");
        let (rows, mark, _) = all(&path, mark);
        assert_eq!(rows, ["\"half a\nrow\",3", "\"c\",4"]);
        assert_eq!(all(&path, mark).0, Vec::<String>::new());
        append(&path, "\",5\n");
        assert_eq!(all(&path, mark).0, ["\"d\",5"]);
    }

    #[test]
    fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Master.csv");
        append(&path, "a\n");
        let (_, mark, _) = all(&path, None);
        append(&path, "b\n");
        fs::rename(&path, folder.path().join("Master.csv.1")).unwrap();
        append(&path, "c\n");
        let (rows, mark, lost) = all(&path, mark);
        assert_eq!((rows, lost), (vec!["b".to_owned(), "c".to_owned()], false));
        // Kept open, so that the next file can't get its number.
        let _old = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        append(&path, "d\n");
        let (rows, mark, lost) = all(&path, mark);
        assert_eq!((rows, lost), (vec!["d".to_owned()], true));
        fs::write(&path, "").unwrap();
        append(&path, "e\n");
        assert!(
            all(&path, mark).0.len() <= 1,
            "emptied and as long as before can't be told"
        );
    }

    #[test]
    fn columns_names_go_with_each_row_and_long_files_come_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tieline.csv");
        append(&path, "channel,uniqueid\n");
        let (_, mark, _) = all(&path, None);
        let row = format!("{},1\n", "x".repeat(999));
        append(&path, &row.repeat(2500));
        let (rows, _, _) = all(&path, mark);
        assert_eq!(rows.len(), 2500);
        assert!(
            rows.iter()
                .all(|row| row.starts_with("channel,uniqueid\nxxx"))
        );
    }
}
