//! What a kill or a power cut leaves of the files that sled writes without care for either: its snapshots and its `conf`.
//! `mod.rs` calls it around each open.

use std::fs::File;
use std::io;
use std::path::Path;

/// sled 0.34.7 writes a snapshot at each start under a name that ends so, and renames it when it is whole. A start that
/// was killed in between leaves a part of one, which the next start would take for the newest snapshot and call the whole
/// store corrupt. The log has everything that is in it.
pub(super) fn remove_snapshots(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(file = %name, "a start was interrupted; its unfinished snapshot is removed");
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What sled writes into `conf` when it makes a store with our settings, its CRC behind it: the same for every store.
pub const CONFIGURATION: &[u8] =
    b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n\x76\x19\x51\xc1";

/// sled never syncs `conf`. A power cut in a store's first moments, before we have, leaves the beginning of one, or zeros, which
/// sled would take for damage; without one it makes it anew. Anything else in it stays, and is damage.
pub(super) fn remove_configuration(dir: &Path) -> io::Result<()> {
    let path = dir.join("conf");
    let held = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        held => held?,
    };
    let fits = |(is, shall): (&u8, &u8)| is == shall || *is == 0;
    let part = held.len() <= CONFIGURATION.len() && held.iter().zip(CONFIGURATION).all(fits);
    if part && held != CONFIGURATION {
        tracing::info!("the store's first start was interrupted; its unfinished conf is removed");
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Done before anything is acknowledged.
pub(super) fn sync_configuration(dir: &Path) -> io::Result<()> {
    File::open(dir.join("conf"))?.sync_all()
}
