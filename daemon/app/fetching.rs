//! The parts that fetch events: connections to phone systems, and the folders they leave records in. They bring events as
//! the intake does, and stop with it.

use super::AppFault;
use crate::calls::links::{Link, LinkParts, Links, Pickup};
use crate::settings::types::Settings;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Built, not running yet.
pub struct Fetching {
    links: Vec<Link>,
    pickups: Vec<Pickup>,
    /// What is shown of them.
    pub seen: Links,
}

impl Fetching {
    pub fn build(settings: &Settings, parts: &LinkParts) -> Result<Self, AppFault> {
        let (mut links, mut pickups, mut seen) = (Vec::new(), Vec::new(), Links::default());
        for pbx in &settings.pbxs {
            links.extend(Link::open(pbx, parts, &mut seen)?);
            let (bytes_max, keep) = (settings.daemon.intake.body_bytes, settings.daemon.keep);
            pickups.extend(Pickup::open(
                pbx,
                bytes_max,
                keep,
                &parts.journal,
                &mut seen,
            ));
        }
        Ok(Self {
            links,
            pickups,
            seen,
        })
    }

    pub fn spawn(self, tasks: &mut JoinSet<Result<(), AppFault>>, stop: &watch::Receiver<bool>) {
        for link in self.links {
            let stop = stop.clone();
            tasks.spawn(async move { Ok(link.run(stop).await?) });
        }
        for pickup in self.pickups {
            let stop = stop.clone();
            tasks.spawn(async move { Ok(pickup.run(stop).await?) });
        }
    }
}
