//! Reads Kustomer's rate limit headers: how long the whole client should pause. Pure; called by `client` for each reply.
//! Source: Kustomer: Rate limits. `x-ratelimit-reset` is epoch seconds in UTC and is not always sent.

use jiff::Timestamp;
use std::time::Duration;

/// Below one in this many of the budget left, the client stops until the reset: others share the same budget.
const LOW_REMAINING_ONE_IN: u64 = 10;
/// No reset is further away than this; a later one is milliseconds, or wrong.
const RESET_SECONDS_MAX: i64 = 600;
/// Spread of the return after a pause, so that several daemons don't come back together.
const JITTER_MAX: Duration = Duration::from_secs(2);

/// The headers of one reply, as sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitHeaders<'a> {
    pub limit: Option<&'a str>,
    pub remaining: Option<&'a str>,
    pub reset: Option<&'a str>,
    pub retry_after: Option<&'a str>,
}

/// How long to pause after a reply; none: carry on. `window` is the pause when no header says when the budget resets,
/// `chance` in `0.0..1.0` spreads the return (by at most a tenth of the pause).
pub fn pause_after(
    status: u16,
    headers: LimitHeaders<'_>,
    window: Duration,
    now: Timestamp,
    chance: f64,
) -> Option<Duration> {
    if status != 429 && !is_low(headers) {
        return None;
    }
    let pause = retry_after(headers)
        .filter(|_| status == 429)
        .or_else(|| until_reset(headers, now))
        .unwrap_or(window);
    Some(pause + (pause / 10).min(JITTER_MAX).mul_f64(chance.clamp(0.0, 1.0)))
}

/// `Retry-After` in seconds; a date or more than the longest reset is ignored.
pub fn retry_after(headers: LimitHeaders<'_>) -> Option<Duration> {
    let seconds = headers.retry_after?.trim().parse::<i64>().ok()?;
    seconds_within_reason(seconds)
}

fn is_low(headers: LimitHeaders<'_>) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u64>().ok());
    match (number(headers.remaining), number(headers.limit)) {
        (Some(remaining), Some(limit)) => remaining.saturating_mul(LOW_REMAINING_ONE_IN) < limit,
        (Some(remaining), None) => remaining == 0,
        (None, _) => false,
    }
}

/// Whole seconds until the reset, rounded up; none if it is absent, past or absurd.
fn until_reset(headers: LimitHeaders<'_>, now: Timestamp) -> Option<Duration> {
    let reset = headers.reset?.trim().parse::<i64>().ok()?;
    seconds_within_reason(reset.checked_sub(now.as_second())?)
}

fn seconds_within_reason(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds)
        .ok()
        .filter(|_| (1..=RESET_SECONDS_MAX).contains(&seconds))?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(
        status: u16,
        limit: &str,
        remaining: &str,
        reset: &str,
        retry_after: &str,
    ) -> Option<u64> {
        fn sent(text: &str) -> Option<&str> {
            Some(text).filter(|text| !text.is_empty())
        }
        let headers = LimitHeaders {
            limit: sent(limit),
            remaining: sent(remaining),
            reset: sent(reset),
            retry_after: sent(retry_after),
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        pause_after(status, headers, Duration::from_secs(60), now, 0.0).map(|span| span.as_secs())
    }

    #[test]
    fn a_reply_pauses_as_its_headers_say() {
        let cases = [
            (pause(200, "1000", "999", "", ""), None, "plenty"),
            (pause(200, "1000", "100", "", ""), None, "just enough"),
            (pause(200, "1000", "99", "", ""), Some(60), "low, no reset"),
            (
                pause(200, "1000", "99", "1800000010", ""),
                Some(10),
                "low, reset",
            ),
            (
                pause(200, "", "5", "", ""),
                None,
                "no limit to compare with",
            ),
            (pause(200, "", "0", "", ""), Some(60), "nothing left"),
            (pause(200, "x", "-4", "", ""), None, "no numbers"),
            (pause(400, "1000", "3", "", ""), Some(60), "low on an error"),
            (pause(429, "", "", "", ""), Some(60), "no header"),
            (pause(429, "", "", "1800000030", ""), Some(30), "reset"),
            (
                pause(429, "", "", "1800000030000", ""),
                Some(60),
                "milliseconds",
            ),
            (pause(429, "", "", "1799999999", ""), Some(60), "past"),
            (pause(429, "", "", "1800000601", ""), Some(60), "too far"),
            (
                pause(429, "", "", "-9223372036854775808", ""),
                Some(60),
                "overflow",
            ),
            (
                pause(429, "", "", "1800000030", "7"),
                Some(7),
                "retry-after wins",
            ),
            (
                pause(429, "", "", "", "99999"),
                Some(60),
                "absurd retry-after",
            ),
            (
                pause(200, "1000", "999", "", "7"),
                None,
                "retry-after on a success",
            ),
        ];
        for (got, want, what) in cases {
            assert_eq!(got, want, "{what}");
        }
    }

    #[test]
    fn jitter_only_lengthens() {
        let now = Timestamp::from_second(0).unwrap();
        let pause = pause_after(
            429,
            LimitHeaders::default(),
            Duration::from_secs(60),
            now,
            1.0,
        )
        .unwrap();
        assert_eq!(pause, Duration::from_secs(62));
    }
}
