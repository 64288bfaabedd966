//! Single values, from text to what they mean: durations, sizes, addresses, URLs, tags. Pure; `check.rs` asks, and adds
//! the place to what is wrong.

use hyper::Uri;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest tag that Kustomer takes, in characters.
const TAG_CHARS_MAX: usize = 64;

/// `5s`, `2min`, `72h`, `30 days`; a day is 24 hours.
pub fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let duration: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// `64 MiB`, `500 kB`, `1024`.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(unit_at)?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(factor)
}

/// A duration as one writes it: `1h 30m`.
pub fn duration_words(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(
        |_| format!("{duration:?}"),
        |duration| format!("{duration:#}"),
    )
}

/// Why an address can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    Form,
    /// `http:` to another machine: the key would be readable on the way.
    Plain,
    /// User and password in the address.
    Secret,
    /// A path or query where there may be none.
    Path,
}

/// A URL that secrets may be sent to: `https:`, or `http:` on loopback.
pub fn url(text: &str) -> Result<Uri, UrlFault> {
    let uri: Uri = text.trim().parse().map_err(|_| UrlFault::Form)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(UrlFault::Form);
    };
    if authority.as_str().contains('@') {
        return Err(UrlFault::Secret);
    }
    match scheme {
        "https" => Ok(uri),
        "http" if is_loopback(&uri) => Ok(uri),
        "http" => Err(UrlFault::Plain),
        _ => Err(UrlFault::Form),
    }
}

/// As [`url`], without a path: `https://acme.api.kustomerapp.com`, without a slash at its end.
pub fn origin(text: &str) -> Result<Uri, UrlFault> {
    let uri = url(text)?;
    if uri
        .path_and_query()
        .is_some_and(|path| path.as_str() != "/")
        || text.contains('#')
    {
        return Err(UrlFault::Path);
    }
    Ok(uri)
}

/// The address of a proxy: what goes through it is TLS, so that it may speak `http:` itself; its own user and password are
/// then readable on the way to it.
///
/// # Errors
/// What it is instead.
pub fn proxy(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.trim().parse().map_err(|_| "this is no URL")?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let Some(authority) = uri.authority().filter(|_| known) else {
        return Err("this is no URL of an HTTP proxy");
    };
    if authority.as_str().contains('@') {
        return Err("user and password don't belong into a URL");
    }
    match uri
        .path_and_query()
        .map(hyper::http::uri::PathAndQuery::as_str)
    {
        None | Some("/") => Ok(uri),
        Some(_) => Err("this is more than an origin"),
    }
}

/// Whether a URL stays on this machine.
pub fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    host_is_loopback(host.trim_start_matches('[').trim_end_matches(']'))
}

/// Whether a host, without brackets, is this machine.
pub fn host_is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// `127.0.0.1:8480`, `[::1]:8480`.
pub fn socket(text: &str) -> Option<SocketAddr> {
    text.trim().parse().ok()
}

/// Whether Kustomer takes the tag: `^[0-9a-zA-ZÀ-ÿ_/<>\-.]{1}[0-9a-zA-ZÀ-ÿ _/<>\-.]{0,63}$` (its OpenAPI description).
pub fn is_tag(text: &str) -> bool {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || ('À'..='ÿ').contains(&c) || "_/<>-.".contains(c);
    let mut chars = text.chars();
    chars.next().is_some_and(fits)
        && chars.all(|c| fits(c) || c == ' ')
        && text.chars().count() <= TAG_CHARS_MAX
}

/// Whether `text` is the label of a host: an organisation's name in `https://ORG.kustomerapp.com`.
pub fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// One @ with something on both sides; Kustomer decides the rest.
pub fn is_email(text: &str) -> bool {
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    plain
        && text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && host.contains('.') && !host.contains('@')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_as_people_write_them() {
        let table = [
            ("5s", Some(5_000)),
            ("2min", Some(120_000)),
            ("1h 30m", Some(5_400_000)),
            ("30d", Some(2_592_000_000)),
            ("30 days", Some(2_592_000_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("-1s", None),
            ("5", None),
            ("1 month", None),
            ("", None),
        ];
        for (text, millis) in table {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(duration(text), expected, "{text:?}");
        }
        let table = [
            ("64 MiB", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("500 kB", Some(500_000)),
            ("1024", Some(1024)),
            ("1.5 MiB", None),
            ("MiB", None),
            ("99999999999 GiB", None),
            ("1 mib", None),
        ];
        for (text, size) in table {
            assert_eq!(bytes(text), size, "{text:?}");
        }
    }

    #[test]
    fn secrets_go_over_https_or_stay_here() {
        let table = [
            ("https://acme.api.kustomerapp.com", Ok(())),
            ("https://acme.api.kustomerapp.com/", Ok(())),
            ("http://127.0.0.1:9000", Ok(())),
            ("http://[::1]:9000", Ok(())),
            ("http://localhost:9000", Ok(())),
            ("http://10.0.0.1", Err(UrlFault::Plain)),
            ("http://127.0.0.1.example", Err(UrlFault::Plain)),
            ("https://u:p@a.example", Err(UrlFault::Secret)),
            ("https://a.example/v1", Err(UrlFault::Path)),
            ("https://a.example?x=1", Err(UrlFault::Path)),
            ("ftp://a.example", Err(UrlFault::Form)),
            ("a.example", Err(UrlFault::Form)),
            ("", Err(UrlFault::Form)),
        ];
        for (text, expected) in table {
            assert_eq!(origin(text).map(drop), expected, "{text:?}");
        }
    }

    #[test]
    fn tags_are_those_that_kustomer_takes() {
        for good in ["phone", "VIP <1>", "Größe", "a/b-c.d_e", "-"] {
            assert!(is_tag(good), "{good:?}");
        }
        for bad in ["", " a", "#a", "a+b", "a:b", "a\n", "Łódź"] {
            assert!(!is_tag(bad), "{bad:?}");
        }
        assert!(is_tag(&"a".repeat(64)) && !is_tag(&"a".repeat(65)));
    }
}
