//! From what the files say to what the daemon uses: every value is parsed, every name resolved, every file found, and
//! all that is wrong is reported at once. Called by `load.rs`. A wrong value stands in for nothing: with one fault no
//! settings come out, so what the functions return after a fault is never used.

mod auth;
mod contacts;
mod fields;
mod kustomer;
mod link;
mod lists;
mod otel;
mod pbx;
mod per_type;
mod proxy;
mod tls;

use super::file::{DaemonFile, File};
use super::origin::Origins;
use super::read;
use super::types::{AdminAddress, DaemonSettings, IntakeLimits, PbxSettings, Settings};
use crate::terms::number::NumberPlan;
use fields::Fields;
use jiff::tz::TimeZone;
use pbx::Home;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is kept grows the store; a year is more than anybody asks `explain` about.
const KEEP: [Duration; 2] = [KEEP_MIN, Duration::from_secs(366 * 24 * 3600)];
/// What came within the last hour somebody may still ask about.
#[cfg(not(feature = "soak"))]
const KEEP_MIN: Duration = Duration::from_secs(60 * 60);
/// So short that a soak of an hour sees many times over what a year of the real thing does (`benches/soak.rs`).
#[cfg(feature = "soak")]
const KEEP_MIN: Duration = Duration::from_secs(10);
/// systemd kills a service that takes longer than 90 s to stop.
const GRACE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(80)];
const INTAKE_TIMEOUT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10 * 60)];
/// A call record of a long queue call is some 100 KB; bodies are held in memory.
const BODY_BYTES: [u64; 2] = [1024, 64 * 1024 * 1024];

/// Where files are looked for.
#[derive(Clone, Debug)]
pub struct Places {
    pub etc: PathBuf,
    /// systemd's credentials of this service.
    pub credentials: Option<PathBuf>,
    /// Whether secret files are opened.
    pub secrets: bool,
}

/// The settings in force; none where the daemon's own part is wrong. Faults are in `origins`.
pub fn check(file: &File, places: &Places, origins: &mut Origins) -> Option<Settings> {
    let mut fields = Fields { origins, places };
    let daemon = daemon(&file.daemon, &mut fields);
    // Entries are checked under stand-ins, so that their own faults are reported beside the daemon's.
    let plan = daemon
        .as_ref()
        .map(|daemon| daemon.plan.clone())
        .or_else(|| NumberPlan::new("DE", None).ok())?;
    let zone = daemon
        .as_ref()
        .map_or(TimeZone::UTC, |daemon| daemon.time_zone.clone());
    let listen = daemon.as_ref().map(|daemon| daemon.listen);
    let home = Home {
        daemon: &file.daemon,
        plan: &plan,
        zone: &zone,
        listen,
    };
    let pbxs: Vec<Option<PbxSettings>> = file
        .pbx
        .iter()
        .map(|(name, pbx)| home.pbx(name, pbx, &mut fields))
        .collect();
    let kustomers: Vec<_> = file
        .kustomer
        .iter()
        .map(|(name, one)| kustomer::kustomer(name, one, file, &plan, &mut fields))
        .collect();
    let clients: Vec<_> = file
        .client
        .iter()
        .map(|(name, one)| contacts::client(name, one, &mut fields))
        .collect();
    let carddavs: Vec<_> = file
        .carddav
        .iter()
        .map(|(name, one)| contacts::carddav(name, one, &mut fields))
        .collect();
    agents(&file.agents, &mut fields);
    remark(file, &mut fields);
    Some(Settings {
        daemon: daemon?,
        pbxs: pbxs.into_iter().flatten().collect(),
        kustomers: kustomers.into_iter().flatten().collect(),
        agents: file.agents.clone(),
        clients: clients.into_iter().flatten().collect(),
        carddavs: carddavs.into_iter().flatten().collect(),
        notes: Vec::new(),
    })
}

fn daemon(file: &DaemonFile, fields: &mut Fields<'_>) -> Option<DaemonSettings> {
    let listen = fields.socket("daemon.listen", &file.listen);
    let admin = admin(&file.admin, fields);
    let plan = fields.plan(
        "daemon.default_region",
        &file.default_region,
        "daemon.area_code",
        file.area_code.as_deref(),
    );
    let zone = fields.zone("daemon.time_zone", &file.time_zone);
    let intake = &file.intake;
    let at = |key: &str| format!("daemon.intake.{key}");
    let body_bytes = fields.bytes(&at("body_bytes"), &intake.body_bytes, BODY_BYTES);
    let limits = IntakeLimits {
        body_bytes: usize::try_from(body_bytes).unwrap_or(usize::MAX),
        connections: intake.connections,
        header_timeout: fields.duration(
            &at("header_timeout"),
            &intake.header_timeout,
            INTAKE_TIMEOUT,
        ),
        body_timeout: fields.duration(&at("body_timeout"), &intake.body_timeout, INTAKE_TIMEOUT),
        idle_timeout: fields.duration(&at("idle_timeout"), &intake.idle_timeout, INTAKE_TIMEOUT),
        queue: intake.queue,
    };
    let state_dir = fields.path("daemon.state_dir", &file.state_dir);
    let disk_reserve = fields.bytes("daemon.disk_reserve", &file.disk_reserve, [0, u64::MAX]);
    let keep = fields.duration("daemon.keep", &file.keep, KEEP);
    let grace = fields.duration("daemon.grace", &file.grace, GRACE);
    Some(DaemonSettings {
        state_dir,
        listen: listen?,
        admin: admin?,
        plan: plan?,
        time_zone: zone?,
        time_zone_name: file.time_zone.clone(),
        disk_reserve,
        keep,
        grace,
        intake: limits,
        tls: tls::tls(&file.tls, fields),
        otel: otel::otel(&file.otel, fields),
    })
}

fn admin(text: &str, fields: &mut Fields<'_>) -> Option<AdminAddress> {
    const KEY: &str = "daemon.admin";
    const ALLOWED: &str = "\"unix:\" and a path, or a loopback address such as \"127.0.0.1:8481\"";
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(AdminAddress::Unix(fields.path(KEY, path)));
    }
    let address = read::socket(text);
    match address {
        Some(address) if address.ip().is_loopback() => Some(AdminAddress::Tcp(address)),
        Some(_) => {
            fields.origins.fault(
                KEY,
                "whoever reaches this address rules the daemon: it must not leave the machine",
                ALLOWED,
            );
            None
        }
        None => {
            fields.wrong(KEY, text, "is no address", ALLOWED);
            None
        }
    }
}

fn agents(agents: &BTreeMap<String, String>, fields: &mut Fields<'_>) {
    for (extension, email) in agents {
        let path = format!("agents.{extension}");
        if extension.trim().is_empty() {
            fields
                .origins
                .fault("agents", "an extension or login is empty", "");
        }
        if !read::is_email(email) {
            fields.origins.fault(
                &path,
                "this is no e-mail address",
                "the e-mail of a Kustomer user",
            );
        }
    }
}

/// What works, but not as an administrator may think.
fn remark(file: &File, fields: &mut Fields<'_>) {
    let origins = &mut *fields.origins;
    for (key, value, what) in [
        (
            "daemon.default_region",
            &file.daemon.default_region,
            "numbers written without + are read as that region's",
        ),
        (
            "daemon.time_zone",
            &file.daemon.time_zone,
            "notes show that zone's times",
        ),
    ] {
        if !origins.is_set(key) {
            origins
                .notes
                .push(format!("{key} is not set, so it is {value:?}: {what}"));
        }
    }
    let listen = read::socket(&file.daemon.listen);
    let far = listen.is_some_and(|listen| !listen.ip().is_loopback());
    if far && file.daemon.tls.certificate_file.is_none() {
        let what = "daemon.listen is reached from other machines, without [daemon.tls]: calls, texts and secrets can be read on the way";
        origins.notes.push(what.to_owned());
    }
    if file.pbx.is_empty() {
        origins
            .notes
            .push("there is no [[pbx]]: nothing can post calls or texts".to_owned());
    }
    if file.kustomer.is_empty() {
        origins.notes.push(
            "there is no [[kustomer]]: calls and texts are kept, and logged nowhere".to_owned(),
        );
    }
}
