//! An ext4 file system in a file, mounted, to be filled, frozen and broken.
//!
//! Needs root, loop devices and ext4's `trigger_fs_error` in /sys. Where these are missing a test fails and says so;
//! `TIELINE_NO_MOUNT=1` leaves out those that need it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the image, which is a file with holes; well above the disk's reserve.
const DISK_BYTES: u64 = 256 * 1024 * 1024;

const NEEDS: &str = "this test needs root, loop devices and ext4; TIELINE_NO_MOUNT=1 leaves it out";

/// Whether this machine has no such disks, by its own word.
pub fn left_out() -> bool {
    let left_out = std::env::var_os("TIELINE_NO_MOUNT").is_some();
    if left_out {
        eprintln!("left out: TIELINE_NO_MOUNT is set");
    }
    left_out
}

/// A mounted disk; dropping it unmounts it.
pub struct Disk {
    pub image: PathBuf,
    pub at: PathBuf,
}

impl Disk {
    pub fn new(image: PathBuf, at: &Path) -> Self {
        File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        fs::create_dir_all(at).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image]);
        let disk = Self {
            image,
            at: at.to_owned(),
        };
        disk.mount("loop,errors=remount-ro");
        disk
    }

    pub fn mount(&self, options: &str) {
        run("mount", &["-o", options], &[&self.image, &self.at]);
    }

    pub fn unmount(&self) {
        run("umount", &[], &[&self.at]);
    }

    /// Has every write wait, as a disk does that hangs, until it is thawed.
    pub fn freeze(&self) {
        run("fsfreeze", &["-f"], &[&self.at]);
    }

    pub fn thaw(&self) {
        run("fsfreeze", &["-u"], &[&self.at]);
    }

    /// Has the file system find a fault in itself. `mount -o remount,ro` wouldn't do: it is refused while a file is open for writing.
    pub fn turn_read_only(&self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let at = self.at.canonicalize().unwrap();
        let mut lines = mounts.lines().map(|line| line.split(' '));
        let device = lines.find_map(|mut words| {
            let device = words.next()?;
            (Path::new(words.next()?) == at).then_some(device)
        });
        let device = device.expect("the disk is mounted").replace("/dev/", "");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "the test").unwrap_or_else(|why| panic!("{trigger}: {why}; {NEEDS}"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.at).output();
        // Not mounted any more where the test came to its end.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

pub fn run(program: &str, words: &[&str], paths: &[&Path]) {
    let done = Command::new(program).args(words).args(paths).output();
    let done = done.unwrap_or_else(|why| panic!("{program}: {why}; {NEEDS}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {said}; {NEEDS}");
}
