//! The API key: does Kustomer take it, is it asked for in its region, when does it expire.

use super::Finding;
use crate::kustomer::fault::KustomerFault;
use jiff::{SignedDuration, Timestamp};

/// From then on a key's expiry is remarked: time enough to have a new one made.
const EXPIRY_NEAR: SignedDuration = SignedDuration::from_hours(21 * 24);

const CHECK: &str = "key";
const NEW_KEY: &str = "make a new key in Kustomer (Settings, Security, API Keys), put it into the file of api_key_file, and restart the service";

/// When the key says that it expires.
pub fn expiry(integration: &str, expires: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(at) = expires else {
        return Finding::ok(CHECK, integration, "doesn't say when it expires");
    };
    let left = at.duration_since(now);
    if left <= SignedDuration::ZERO {
        return Finding::fault(CHECK, integration, format!("expired at {at}"), NEW_KEY);
    }
    let days = left.as_hours() / 24;
    let what = format!("expires at {at}, in {days} days");
    if left < EXPIRY_NEAR {
        Finding::warning(CHECK, integration, what, NEW_KEY)
    } else {
        Finding::ok(CHECK, integration, what)
    }
}

/// What Kustomer's answer to a question that every key may ask says of the key; none if it says nothing of it, because
/// there was no answer of Kustomer's.
pub fn accepted(integration: &str, answer: &Result<(), KustomerFault>) -> Option<Finding> {
    let fault = match answer {
        Ok(()) => return Some(Finding::ok(CHECK, integration, "Kustomer takes it")),
        Err(fault) => fault,
    };
    let words = fault.to_string();
    if let Some((home, asked)) = pods(&words) {
        let what = format!("is of the region {home}, and {asked} was asked");
        return Some(Finding::fault(
            "region",
            integration,
            what,
            &right_region(home),
        ));
    }
    match fault {
        KustomerFault::Key(_) => Some(Finding::fault(
            CHECK,
            integration,
            words,
            "put the key alone into that file, on one line",
        )),
        // How an expired key is refused isn't documented; clients of others look for these words.
        KustomerFault::Unauthorized { detail, .. }
            if detail.to_ascii_lowercase().contains("expired") =>
        {
            let what = format!("Kustomer says that it expired: {detail}");
            Some(Finding::fault(CHECK, integration, what, NEW_KEY))
        }
        KustomerFault::Unauthorized { .. } | KustomerFault::Rejected { .. } => {
            let todo = "see whether the file of api_key_file holds the key of this organisation, whether it was removed in Kustomer, and whether its list of networks has this machine's address";
            Some(Finding::fault(CHECK, integration, words, todo))
        }
        KustomerFault::Unsendable(_)
        | KustomerFault::Stopping
        | KustomerFault::Unreachable(_)
        | KustomerFault::Timeout(_)
        | KustomerFault::Lost(_)
        | KustomerFault::Server { .. }
        | KustomerFault::Garbled { .. }
        | KustomerFault::NotFound
        | KustomerFault::Conflict { .. }
        | KustomerFault::TooMany { .. }
        | KustomerFault::ForeignLink
        | KustomerFault::TooManyPages(_) => None,
    }
}

/// The key's region and the one that was asked, of `Auth token associated with pod prod2 but request is being handled by
/// prod1` (Kustomer: Regions and base URLs).
fn pods(words: &str) -> Option<(&str, &str)> {
    let (_, rest) = words.split_once("associated with pod ")?;
    let (home, rest) = rest.split_once(' ')?;
    let (_, asked) = rest.split_once("handled by ")?;
    let asked = asked.split([' ', ';', ',', '.']).next()?;
    Some((home, asked))
}

/// Source: Kustomer: Regions and base URLs.
fn right_region(pod: &str) -> String {
    let host = match pod {
        "prod1" => "https://api.kustomerapp.com",
        "prod2" => "https://api.prod2.kustomerapp.com",
        "prod4" => "https://api.prod4.kustomerapp.com",
        _ => {
            return "set org to this organisation in place of url: it finds the region by itself"
                .to_owned();
        }
    };
    format!(
        "set org to this organisation in place of url, which finds the region by itself; or url = \"{host}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_key_is_remarked_before_it_expires() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let table = [
            (None, Level::Ok, "doesn't say when it expires"),
            (
                Some("2026-11-28T12:00:00Z"),
                Level::Fault,
                "expired at 2026-11-28T12:00:00Z",
            ),
            (
                Some("2025-01-01T00:00:00Z"),
                Level::Fault,
                "expired at 2025-01-01T00:00:00Z",
            ),
            (
                Some("2026-11-29T11:00:00Z"),
                Level::Warning,
                "expires at 2026-11-29T11:00:00Z, in 0 days",
            ),
            (
                Some("2026-12-19T11:59:59Z"),
                Level::Warning,
                "expires at 2026-12-19T11:59:59Z, in 20 days",
            ),
            (
                Some("2026-12-19T12:00:00Z"),
                Level::Ok,
                "expires at 2026-12-19T12:00:00Z, in 21 days",
            ),
        ];
        for (expires, level, what) in table {
            let found = expiry("support", expires.map(|at| at.parse().unwrap()), now);
            assert_eq!((found.level, found.what.as_str()), (level, what));
            assert_eq!(found.todo.is_empty(), level == Level::Ok);
        }
    }

    #[test]
    fn an_answer_says_whether_key_and_region_are_right() {
        let refused = |status, detail: &str| {
            Err(KustomerFault::Unauthorized {
                status,
                detail: detail.to_owned(),
            })
        };
        let rejected = |detail: &str| {
            let (status, code, detail) = (400, "bad_request".to_owned(), detail.to_owned());
            Err(KustomerFault::Rejected {
                status,
                code,
                detail,
            })
        };
        let pod = "Auth token associated with pod prod2 but request is being handled by prod1";
        let home = "url = \"https://api.prod2.kustomerapp.com\"";
        let elsewhere =
            "Auth token associated with pod prod9 but request is being handled by prod1";
        let table = [
            (Ok(()), Level::Ok, "key", ""),
            (refused(401, pod), Level::Fault, "region", home),
            (rejected(pod), Level::Fault, "region", home),
            (
                refused(403, elsewhere),
                Level::Fault,
                "region",
                "finds the region by itself",
            ),
            (
                refused(401, "Expired token"),
                Level::Fault,
                "key",
                "make a new key",
            ),
            (
                refused(401, "Unauthorized"),
                Level::Fault,
                "key",
                "list of networks",
            ),
            (
                Err(KustomerFault::Key("x: empty".to_owned())),
                Level::Fault,
                "key",
                "on one line",
            ),
        ];
        for (answer, level, check, todo) in table {
            let found = accepted("support", &answer).unwrap();
            assert_eq!((found.level, found.check), (level, check), "{found:?}");
            assert!(found.todo.contains(todo), "{found:?}");
        }
        let away = Err(KustomerFault::Unreachable("refused".to_owned()));
        assert_eq!(accepted("support", &away), None);
    }
}
