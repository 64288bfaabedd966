//! One field at a time: reads it with `read.rs`, bounds it, and reports what is wrong with its place. Every part of
//! `check` uses it.

use super::super::fault::quoted;
use super::super::origin::Origins;
use super::super::read::{self, UrlFault};
use super::super::secrets::{self, Finding};
use super::Places;
use crate::terms::number::{NumberPlan, NumberPlanFault};
use hyper::Uri;
use jiff::tz::TimeZone;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub struct Fields<'a> {
    pub origins: &'a mut Origins,
    pub places: &'a Places,
}

impl Fields<'_> {
    /// A fault that repeats the value: not for numbers, names and secrets.
    pub fn wrong(&mut self, path: &str, value: &str, what: &str, allowed: &str) {
        self.origins
            .fault(path, format!("{} {what}", quoted(value)), allowed);
    }

    /// A key that must be there.
    pub fn need<'v, T>(&mut self, table: &str, key: &str, value: Option<&'v T>) -> Option<&'v T> {
        if value.is_none() {
            self.origins
                .missing(&format!("{table}.{key}"), &format!("{key} is missing"), "");
        }
        value
    }

    /// Both bounds are allowed.
    pub fn duration(&mut self, path: &str, text: &str, [min, max]: [Duration; 2]) -> Duration {
        let allowed = || {
            let (min, max) = (read::duration_words(min), read::duration_words(max));
            if min == max {
                format!("{min} alone")
            } else {
                format!("{min} to {max}, such as \"5s\", \"2min\", \"72h\"")
            }
        };
        match read::duration(text) {
            Some(duration) if (min..=max).contains(&duration) => duration,
            Some(_) => {
                self.wrong(path, text, "is out of range", &allowed());
                min
            }
            None => {
                self.wrong(path, text, "is no duration", &allowed());
                min
            }
        }
    }

    /// Both bounds are allowed.
    pub fn bytes(&mut self, path: &str, text: &str, [min, max]: [u64; 2]) -> u64 {
        let size = read::bytes(text);
        if !size.is_some_and(|size| (min..=max).contains(&size)) {
            let bounds = if max == u64::MAX {
                String::new()
            } else {
                format!("{min} to {max} bytes, ")
            };
            let what = if size.is_some() {
                "is out of range"
            } else {
                "is no size"
            };
            self.wrong(path, text, what, &format!("{bounds}such as \"64 MiB\""));
        }
        size.unwrap_or(min)
    }

    pub fn socket(&mut self, path: &str, text: &str) -> Option<SocketAddr> {
        let address = read::socket(text);
        if address.is_none() {
            self.wrong(
                path,
                text,
                "is no address",
                "an IP address and a port, such as \"127.0.0.1:8480\"",
            );
        }
        address
    }

    pub fn zone(&mut self, path: &str, name: &str) -> Option<TimeZone> {
        let zone = TimeZone::get(name).ok();
        if zone.is_none() {
            let allowed = "a name of the IANA list such as \"Europe/Berlin\" (package tzdata must be installed)";
            self.wrong(path, name, "is no time zone", allowed);
        }
        zone
    }

    pub fn plan(
        &mut self,
        region_key: &str,
        region: &str,
        area_key: &str,
        area: Option<&str>,
    ) -> Option<NumberPlan> {
        match NumberPlan::new(region, area) {
            Ok(plan) => Some(plan),
            Err(fault) => {
                let place = match fault {
                    NumberPlanFault::Region(_) => region_key,
                    NumberPlanFault::AreaCode(_) => area_key,
                };
                self.origins.fault(place, fault.to_string(), "");
                None
            }
        }
    }

    /// A path, absolute.
    pub fn path(&mut self, path: &str, text: &str) -> PathBuf {
        if text.is_empty() {
            self.origins.fault(path, "the path is empty", "");
        }
        self.origins.dir(path).join(text)
    }

    /// A user's name for HTTP Basic.
    pub fn basic_user(&mut self, path: &str, user: &str) {
        // A colon ends the name where it goes over the network (RFC 7617, section 2).
        if user.contains(|c: char| c == ':' || c.is_control()) {
            let what = "a user's name has no colon and no control characters";
            self.origins.fault(path, what, "");
        }
    }

    /// A file of certificates, if one is named: it must be there.
    pub fn certificates(&mut self, path: &str, text: Option<&str>) -> Option<PathBuf> {
        let file = self.path(path, text?);
        if !file.is_file() {
            let what = format!("the file {} is not there", file.display());
            self.origins.fault(path, what, "");
        }
        Some(file)
    }

    /// The file of a secret that must be there.
    pub fn secret(&mut self, table: &str, key: &str, written: Option<&str>) -> Option<PathBuf> {
        let path = format!("{table}.{key}");
        let Some(written) = written else {
            self.origins.missing(
                &path,
                &format!("{key} is missing"),
                "the path of a file that holds the secret alone",
            );
            return None;
        };
        if written.is_empty() || secrets::looks_like_secret(written) {
            let what = if written.is_empty() {
                "the path is empty"
            } else {
                "this is no path, but looks like the secret itself"
            };
            self.origins.fault(
                &path,
                what,
                "the path of a file that holds the secret alone",
            );
            return None;
        }
        let places = self.places;
        let file = secrets::locate(
            written,
            self.origins.dir(&path),
            &places.etc,
            places.credentials.as_deref(),
        );
        if places.secrets {
            match secrets::probe(&file) {
                None => {}
                Some(Finding::Unusable(what)) => self.origins.fault(&path, what, ""),
                Some(Finding::Doubtful(what)) => self.origins.notes.push(format!("{path}: {what}")),
            }
        }
        Some(file)
    }

    /// A URL, with what is wrong with it in words. Its text is not repeated: it may hold a password.
    pub fn url(&mut self, path: &str, read: Result<Uri, UrlFault>) -> Option<Uri> {
        let (what, allowed) = match read {
            Ok(uri) => return Some(uri),
            Err(UrlFault::Form) => ("this is no URL", "\"https://\" and a host"),
            Err(UrlFault::Plain) => (
                "over http: the secret could be read on the way",
                "https, or http on loopback (127.0.0.1)",
            ),
            Err(UrlFault::Secret) => (
                "user and password don't belong into a URL",
                "a host, and a port if need be",
            ),
            Err(UrlFault::Path) => (
                "this is more than an origin",
                "\"https://\" and a host, without a path",
            ),
        };
        self.origins.fault(path, what, allowed);
        None
    }
}
