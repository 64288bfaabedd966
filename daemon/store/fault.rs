//! What can go wrong with the store, in words for the administrator. Every module that reads or writes a tree
//! passes these on.

use std::path::PathBuf;

/// One fault of the store. `Busy` and `DiskFull` pass by themselves; `Broken` ends the process so that systemd
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
        "the store in {dir} is damaged: {why}; move it away and put a backup of the state folder in its place"
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
    /// A write or sync failed half-way: what is on disk is only known after the next open.
    #[error("the store failed and takes no more writes until tieline is started again: {why}")]
    Broken { why: String },
    #[error("the export cannot be written or read: {why}")]
    Export { why: String },
    #[error("the store already holds records; a backup is restored into an empty one")]
    NotEmpty,
}

impl StoreFault {
    /// Whether it goes away without a person: the caller waits and asks again.
    pub const fn passes(&self) -> bool {
        match self {
            Self::Busy | Self::DiskFull { .. } => true,
            Self::InUse { .. }
            | Self::NotWritable { .. }
            | Self::Damaged { .. }
            | Self::NewerRecord { .. }
            | Self::BadRecord { .. }
            | Self::Broken { .. }
            | Self::Export { .. }
            | Self::NotEmpty => false,
        }
    }
}

impl From<sled::Error> for StoreFault {
    fn from(error: sled::Error) -> Self {
        Self::Broken {
            why: error.to_string(),
        }
    }
}
