//! The recorder's log read (`recorder.c` says its form), and the test's own marks in it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// One thing that happened, in the order of all of them. Paths are below the recorded folder; the folder itself is "".
#[derive(Debug)]
pub enum Step {
    Created(String),
    Wrote {
        path: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncated {
        path: String,
        length: usize,
    },
    Renamed {
        from: String,
        to: String,
    },
    Unlinked(String),
    MadeFolder(String),
    SyncBegins {
        path: String,
        number: u64,
    },
    Synced {
        number: u64,
    },
    /// Promises nothing.
    RangeSynced,
    /// The test's: the first event of this is about to be posted.
    Began(String),
    /// The test's: somebody was told that all of this is taken.
    Acknowledged(String),
    /// The test's: the power goes.
    Cut,
}

const ACKNOWLEDGED: u8 = 100;
const CUT: u8 = 101;
const BEGAN: u8 = 102;

/// The log, to be appended to by the test beside the recorded process.
pub struct Log(File);

impl Log {
    pub fn open(path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path);
        Self(file.unwrap())
    }

    pub fn began(&self, what: &str) {
        self.append(BEGAN, what);
    }

    pub fn acknowledged(&self, what: &str) {
        self.append(ACKNOWLEDGED, what);
    }

    pub fn cut(&self) {
        self.append(CUT, "");
    }

    /// With one write: the other process appends too.
    fn append(&self, kind: u8, path: &str) {
        let length = u32::try_from(1 + 8 + 8 + 2 + path.len()).unwrap();
        let mut record = length.to_le_bytes().to_vec();
        record.push(kind);
        record.extend([0; 16]);
        record.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
        record.extend(path.as_bytes());
        let written = (&self.0).write(&record).unwrap();
        assert_eq!(written, record.len(), "a mark isn't written whole");
    }
}

/// All steps; a record that a kill left half-written ends them.
pub fn read(path: &Path) -> Vec<Step> {
    let log = std::fs::read(path).unwrap();
    let (mut rest, mut steps) = (log.as_slice(), Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
        let Some((record, behind)) = behind.split_at_checked(length) else {
            break;
        };
        steps.push(step(record));
        rest = behind;
    }
    steps
}

fn step(record: &[u8]) -> Step {
    let number = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
    let (a, length) = (number(1), u16::from_le_bytes([record[17], record[18]]));
    let (path, bytes) = record[19..].split_at(usize::from(length));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let path = text(path);
    let size = || usize::try_from(a).unwrap();
    match record[0] {
        1 => Step::Created(path),
        2 => Step::Wrote {
            path,
            at: size(),
            bytes: bytes.to_vec(),
        },
        3 => Step::Truncated {
            path,
            length: size(),
        },
        4 => Step::Renamed {
            from: path,
            to: text(bytes),
        },
        5 => Step::Unlinked(path),
        6 => Step::MadeFolder(path),
        7 => Step::SyncBegins { path, number: a },
        8 => Step::Synced { number: a },
        9 => Step::RangeSynced,
        ACKNOWLEDGED => Step::Acknowledged(path),
        CUT => Step::Cut,
        BEGAN => Step::Began(path),
        other => panic!("a record of kind {other}"),
    }
}
