//! What can go wrong with the store, in words for the administrator. Every module that reads or writes a tree
//! passes these on.

use std::path::PathBuf;

/// One fault of the store. `Busy`, `DiskFull` and `TooMany` pass by themselves; `Broken` ends the process so that systemd
/// starts it again; the rest needs a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    #[error(
        "the store in {dir} is in use by another process; stop the other tieline or set another daemon.state_dir"
    )]
    InUse { dir: PathBuf },
    #[error(
        "the store in {dir} cannot be opened: {why}; daemon.state_dir must be a directory that tieline may write to"
    )]
    NotWritable { dir: PathBuf, why: String },
    #[error(
        "the store's files in {dir} are damaged: {why}; move the folder away and put a backup in its place"
    )]
    Damaged { dir: PathBuf, why: String },
    #[error(
        "a record in {tree} has version {found}, this tieline knows up to {known}; install the newer tieline again"
    )]
    NewerRecord {
        tree: &'static str,
        found: u16,
        known: u16,
    },
    #[error("a record in {tree} cannot be read: {why}")]
    BadRecord { tree: &'static str, why: String },
    #[error("the store's queue is full")]
    Busy,
    #[error(
        "the store's disk has {free} bytes free, below the reserve of {reserve}; free some space"
    )]
    DiskFull { free: u64, reserve: u64 },
    #[error("{count} events {what}: more don't fit into the memory")]
    TooMany { count: u64, what: &'static str },
    /// A write or sync failed half-way: what is on disk is only known after the next open.
    #[error("the store failed and takes no more writes until tieline is started again: {why}")]
    Broken { why: String },
    /// What is read back isn't what was written: the disk, or somebody, changed the files.
    #[error(
        "the store's files are damaged: {why}; stop tieline, move the store away and put a backup in its place"
    )]
    Unreadable { why: String },
    #[error("the backup cannot be written or read: {why}")]
    Export { why: String },
    #[error("another backup is being taken; wait for its end")]
    BackupRuns,
    #[error("the store already holds records; a backup is restored into an empty one")]
    NotEmpty,
}

impl StoreFault {
    /// Whether it goes away without a person: the caller waits and asks again.
    pub const fn passes(&self) -> bool {
        match self {
            Self::Busy | Self::DiskFull { .. } | Self::TooMany { .. } => true,
            Self::InUse { .. }
            | Self::NotWritable { .. }
            | Self::Damaged { .. }
            | Self::NewerRecord { .. }
            | Self::BadRecord { .. }
            | Self::Broken { .. }
            | Self::Unreadable { .. }
            | Self::Export { .. }
            | Self::BackupRuns
            | Self::NotEmpty => false,
        }
    }
}

impl From<sled::Error> for StoreFault {
    fn from(error: sled::Error) -> Self {
        let why = words(&error);
        if is_damage(&error) {
            Self::Unreadable { why }
        } else {
            Self::Broken { why }
        }
    }
}

/// Whether the files aren't what they were: changed, or cut short.
fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Corruption { .. } => true,
        sled::Error::Io(fault) => fault.kind() == std::io::ErrorKind::UnexpectedEof,
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => false,
    }
}

/// What sled says, for a person: its own words for damage show an empty backtrace.
pub(super) fn words(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { at: None, .. } => "they can't be read back".to_owned(),
        sled::Error::Corruption { at: Some(at), .. } => {
            let place: String = format!("{at:?}")
                .chars()
                .filter(|sign| sign.is_ascii_digit() || *sign == ',')
                .collect();
            format!("they can't be read back at byte {place}")
        }
        sled::Error::Io(fault) if is_damage(error) => format!("they end too soon ({fault})"),
        // sled hands its own log's fault on as the debug form of the system's.
        sled::Error::Io(fault) if fault.raw_os_error().is_none() => fault.kind().to_string(),
        sled::Error::Io(fault) => fault.to_string(),
        _ => error.to_string(),
    }
}
