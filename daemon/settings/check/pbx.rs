//! One `[[pbx]]`: how it proves itself, where it posts from, its phones and its numbers.

use super::super::file::{DaemonFile, PbxFile};
use super::super::patterns;
use super::super::types::PbxSettings;
use super::auth;
use super::fields::Fields;
use super::link;
use crate::terms::number::NumberPlan;
use crate::terms::party::Extensions;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Late facts come within seconds; a longer wait only delays every note.
const SETTLE_MAX: Duration = Duration::from_secs(10 * 60);

/// What phone systems take from `[daemon]`.
pub struct Home<'a> {
    pub daemon: &'a DaemonFile,
    pub plan: &'a NumberPlan,
    pub zone: &'a TimeZone,
    /// None if it can't be read.
    pub listen: Option<SocketAddr>,
}

impl Home<'_> {
    /// One `[[pbx]]`, if nothing it needs is missing.
    pub fn pbx(&self, name: &str, file: &PbxFile, fields: &mut Fields<'_>) -> Option<PbxSettings> {
        let path = format!("pbx.{name}");
        let at = |key: &str| format!("{path}.{key}");
        fields.need(&path, "dialect", file.dialect.as_ref());
        let fetched = file.connect.is_some() || file.pickup_dir.is_some();
        if !fetched {
            fields.need(&path, "auth", file.auth.as_ref());
        }
        let auth = file
            .auth
            .as_ref()
            .and_then(|auth| auth::auth(&at("auth"), auth, self.listen, fields));
        let link = link::link(&path, file, fields);
        let pickup_dir = file
            .pickup_dir
            .as_ref()
            .map(|folder| fields.path(&at("pickup_dir"), folder));
        let mut allow_from = Vec::new();
        for (index, text) in file.allow_from.iter().enumerate() {
            let network = text
                .parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match network {
                Ok(network) => allow_from.push(network),
                Err(_) => {
                    let place = format!("{}[{index}]", at("allow_from"));
                    fields.wrong(
                        &place,
                        text,
                        "is no network",
                        "networks and addresses such as \"10.1.0.0/16\" or \"10.1.2.3\"",
                    );
                }
            }
        }
        let mut extensions = Vec::new();
        for (index, text) in file.extensions.iter().enumerate() {
            match patterns::extension(text) {
                Ok(range) => extensions.push(range),
                Err(fault) => fields.origins.fault(
                    &format!("{}[{index}]", at("extensions")),
                    fault.to_string(),
                    "",
                ),
            }
        }
        let settle = fields.duration(&at("settle"), &file.settle, [Duration::ZERO, SETTLE_MAX]);
        let plan = self.plan(&path, file, fields);
        let time_zone = match &file.time_zone {
            Some(zone) => fields.zone(&at("time_zone"), zone),
            None => Some(self.zone.clone()),
        };
        Some(PbxSettings {
            name: name.to_owned(),
            dialect: file.dialect?,
            auth,
            allow_from,
            extensions: Extensions(extensions),
            settle,
            plan: plan?,
            time_zone: time_zone?,
            link,
            pickup_dir,
        })
    }

    /// The daemon's area code holds in the daemon's region alone.
    fn plan(&self, path: &str, file: &PbxFile, fields: &mut Fields<'_>) -> Option<NumberPlan> {
        let area_key = format!("{path}.area_code");
        match (&file.region, &file.area_code) {
            (None, None) => Some(self.plan.clone()),
            (None, Some(area)) => fields.plan(
                "daemon.default_region",
                &self.daemon.default_region,
                &area_key,
                Some(area),
            ),
            (Some(region), area) => fields.plan(
                &format!("{path}.region"),
                region,
                &area_key,
                area.as_deref(),
            ),
        }
    }
}
