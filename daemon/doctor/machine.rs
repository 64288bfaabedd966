//! This machine: its clock and the store's disk.

use super::Finding;
use jiff::SignedDuration;

/// So far the clocks may differ: Kustomer tells whole seconds, and an answer is on its way for some more.
const CLOCK_AGREES: SignedDuration = SignedDuration::from_secs(30);
/// From then on changes in Kustomer are looked for too late, and calls stand in a wrong order with what people wrote.
const CLOCK_WRONG: SignedDuration = SignedDuration::from_mins(10);
/// With less than so many times `disk_reserve` left, somebody should make room before posts are refused.
const ROOM: u64 = 10;

const MIB: u64 = 1024 * 1024;

/// This machine's clock against Kustomer's: ahead by that, behind if negative; none where Kustomer didn't tell.
pub fn clock(ahead: Option<SignedDuration>) -> Finding {
    const CHECK: &str = "clock";
    const REMEDY: &str =
        "set it and keep it set (timedatectl set-ntp true): calls are logged with its time";
    let Some(ahead) = ahead else {
        return Finding::warning(
            CHECK,
            "",
            "Kustomer's answers tell no time: not compared",
            "see that it is set by NTP (timedatectl)",
        );
    };
    let way = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let apart = ahead.abs();
    let what = format!("{} s {way} Kustomer's", apart.as_secs());
    if apart <= CLOCK_AGREES {
        Finding::ok(CHECK, "", "agrees with Kustomer's")
    } else if apart <= CLOCK_WRONG {
        Finding::warning(CHECK, "", what, REMEDY)
    } else {
        Finding::fault(CHECK, "", what, REMEDY)
    }
}

/// The disk of the store: bytes left for tieline, and those of `disk_reserve`.
pub fn disk(folder: &str, free: Result<u64, String>, reserve: u64) -> Finding {
    const CHECK: &str = "disk";
    const REMEDY: &str = "make room on that disk, or set daemon.keep shorter";
    let free = match free {
        Ok(free) => free,
        Err(why) => {
            let what = format!("how much room {folder} has can't be told: {why}");
            return Finding::warning(CHECK, "", what, "look at it with df");
        }
    };
    let what = format!("{folder} has {} MiB left", free / MIB);
    if free < reserve {
        let what = format!(
            "{what}, less than disk_reserve ({} MiB): posts are answered 503",
            reserve / MIB
        );
        Finding::fault(CHECK, "", what, REMEDY)
    } else if free < reserve.saturating_mul(ROOM) {
        Finding::warning(CHECK, "", what, REMEDY)
    } else {
        Finding::ok(CHECK, "", what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_clock_that_is_wrong_is_told() {
        let table = [
            (Some(0), Level::Ok, "agrees"),
            (Some(30), Level::Ok, "agrees"),
            (Some(-30), Level::Ok, "agrees"),
            (Some(31), Level::Warning, "31 s ahead of Kustomer's"),
            (Some(-600), Level::Warning, "600 s behind Kustomer's"),
            (Some(601), Level::Fault, "601 s ahead of Kustomer's"),
            (Some(-86_400), Level::Fault, "86400 s behind Kustomer's"),
            (None, Level::Warning, "not compared"),
        ];
        for (ahead, level, what) in table {
            let found = clock(ahead.map(SignedDuration::from_secs));
            assert_eq!(found.level, level, "{ahead:?}");
            assert!(found.what.contains(what), "{found:?}");
            assert_eq!(found.todo.is_empty(), level == Level::Ok);
        }
    }

    #[test]
    fn a_disk_that_fills_up_is_told_before_it_is_full() {
        let reserve = 64 * MIB;
        let table = [
            (Ok(0), Level::Fault),
            (Ok(reserve - 1), Level::Fault),
            (Ok(reserve), Level::Warning),
            (Ok(10 * reserve - 1), Level::Warning),
            (Ok(10 * reserve), Level::Ok),
            (Ok(u64::MAX), Level::Ok),
            (Err("gone".to_owned()), Level::Warning),
        ];
        for (free, level) in table {
            let found = disk("/var/lib/tieline", free.clone(), reserve);
            assert_eq!(found.level, level, "{free:?}");
            assert!(found.what.contains("/var/lib/tieline"), "{found:?}");
            assert_eq!(found.todo.is_empty(), level == Level::Ok);
        }
        assert_eq!(
            disk("x", Ok(1), 0).level,
            Level::Ok,
            "no reserve, nothing to keep"
        );
    }
}
