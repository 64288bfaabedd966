//! Where the posts go and what they prove themselves with: from the daemon's own settings, or from the command line; and
//! whether that may make real conversations.

use super::{AimArgs, Kind};
use crate::calls::intake::proof::read_secret;
use crate::cli::ConfigArgs;
use crate::settings::types::{AdminAddress, Auth, Dialect, HmacAlgorithm, PbxSettings, Settings};
use crate::simulate::Proof;
use crate::simulate::play::Target;
use crate::terms::party::Extensions;
use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// `settle` of a daemon whose settings aren't known: longer than most have.
const SETTLE_UNKNOWN: Duration = Duration::from_secs(10);

/// The daemon, and what is known of the phone system's block.
#[derive(Debug)]
pub struct Aim {
    pub target: Target,
    pub pbx: String,
    pub dialect: Dialect,
    pub zone: TimeZone,
    pub settle: Duration,
    pub extensions: Extensions,
    pub admin: Option<AdminAddress>,
    /// Why posting there makes real conversations; none if it doesn't.
    real: Option<String>,
}

impl Aim {
    pub fn of(
        args: &AimArgs,
        dialect: Option<Dialect>,
        config: &ConfigArgs,
    ) -> anyhow::Result<Self> {
        match &args.url {
            Some(url) => Self::elsewhere(args, url, dialect),
            None => Self::here(args, dialect, &config.load_to_ask()?),
        }
    }

    /// Refuses to make real conversations unless that is meant.
    pub fn permitted(&self, yes: bool) -> anyhow::Result<()> {
        match &self.real {
            Some(why) if !yes => bail!(
                "{why}: these calls would be logged there as real ones; --yes, if you mean it"
            ),
            _ => Ok(()),
        }
    }

    fn here(args: &AimArgs, dialect: Option<Dialect>, settings: &Settings) -> anyhow::Result<Self> {
        let pbx = find(args, dialect, settings)?;
        let name = &pbx.name;
        if dialect.is_some_and(|dialect| dialect != pbx.dialect) {
            bail!(
                "[[pbx]] {name} speaks {}, not --dialect",
                pbx.dialect.word()
            );
        }
        let auth = pbx.auth.as_ref();
        let auth = auth.with_context(|| {
            format!(
                "[[pbx]] {name} has no `auth`: nothing is posted to it; --serve is for `connect`"
            )
        })?;
        if settings.daemon.tls.is_some() {
            bail!(
                "the daemon listens with TLS ([daemon.tls]), and `simulate` posts without: take the block out while you try"
            );
        }
        let address = within_reach(settings.daemon.listen);
        let real = settings
            .kustomers
            .iter()
            .find(|one| one.active && one.takes(name) && !is_loopback_url(&one.url));
        let real = real.map(|one| format!("[[kustomer]] {} is {}", one.name, one.url));
        let far =
            (!address.ip().is_loopback()).then(|| format!("{address} is no loopback address"));
        Ok(Self {
            target: Target {
                address: address.to_string(),
                path: format!("/v1/pbx/{name}/events"),
                proof: proof(auth)?,
            },
            pbx: name.clone(),
            dialect: pbx.dialect,
            zone: pbx.time_zone.clone(),
            settle: pbx.settle,
            extensions: pbx.extensions.clone(),
            admin: Some(settings.daemon.admin.clone()),
            real: real.or(far),
        })
    }

    fn elsewhere(args: &AimArgs, url: &str, dialect: Option<Dialect>) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://");
        let address = address.context("--url must begin with http://: tieline's own listener has no TLS; behind a web server, run this beside tieline")?;
        let address = address.trim_end_matches('/');
        if address.contains('/') {
            bail!("--url is the listener's address alone, as http://10.0.0.5:8480");
        }
        let address = if address.contains(':') {
            address.to_owned()
        } else {
            format!("{address}:80")
        };
        let pbx = args.pbx.clone().context("--pbx is missing")?;
        let zone = TimeZone::get(&args.time_zone);
        let zone = zone.with_context(|| format!("unknown --time-zone {}", args.time_zone))?;
        let real = (!is_loopback_url(url)).then(|| format!("{url} is no loopback address"));
        Ok(Self {
            target: Target {
                path: format!("/v1/pbx/{pbx}/events"),
                address,
                proof: given(args, url)?,
            },
            pbx,
            dialect: dialect.context("--dialect is missing")?,
            zone,
            settle: SETTLE_UNKNOWN,
            extensions: Extensions::default(),
            admin: None,
            real,
        })
    }
}

fn find<'a>(
    args: &AimArgs,
    dialect: Option<Dialect>,
    settings: &'a Settings,
) -> anyhow::Result<&'a PbxSettings> {
    let mut pbxs = settings.pbxs.iter();
    match (&args.pbx, dialect) {
        (Some(name), _) => pbxs
            .find(|pbx| pbx.name == *name)
            .with_context(|| format!("the settings have no [[pbx]] {name}")),
        (None, Some(dialect)) => pbxs
            .find(|pbx| pbx.dialect == dialect && pbx.auth.is_some())
            .with_context(|| {
                format!(
                    "the settings have no [[pbx]] with dialect = \"{}\" that posts",
                    dialect.word()
                )
            }),
        (None, None) => bail!("say which phone system: --dialect or --pbx"),
    }
}

/// A listener on all addresses is on this machine's own too.
fn within_reach(listen: SocketAddr) -> SocketAddr {
    let ip = if listen.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        listen.ip()
    };
    SocketAddr::new(ip, listen.port())
}

fn is_loopback_url(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn proof(auth: &Auth) -> anyhow::Result<Proof> {
    let secret = |file: &Path| read_secret(file);
    Ok(match auth {
        Auth::Basic {
            user,
            password_file,
        } => Proof::Basic {
            user: user.clone(),
            password: secret(password_file)?,
        },
        Auth::Bearer { token_file } => Proof::Bearer(secret(token_file)?),
        Auth::Hmac {
            secret_file,
            header,
            algorithm,
        } => Proof::Hmac {
            secret: secret(secret_file)?,
            header: header.clone(),
            algorithm: *algorithm,
        },
        Auth::Query { name, token_file } => Proof::Query {
            name: name.clone(),
            token: secret(token_file)?,
        },
        Auth::Header { name, token_file } => Proof::Header {
            name: name.clone(),
            token: secret(token_file)?,
        },
        Auth::Body { field, token_file } => Proof::Body {
            field: field.clone(),
            token: secret(token_file)?,
        },
        Auth::Jwt { secret_file } => Proof::Jwt(secret(secret_file)?),
        Auth::Twilio { token_file, url } => Proof::Twilio {
            token: secret(token_file)?,
            url: url.clone(),
        },
        Auth::None => Proof::None,
    })
}

/// The proof of the command line.
fn given(args: &AimArgs, url: &str) -> anyhow::Result<Proof> {
    let secret = || -> anyhow::Result<SecretString> {
        let file = args.secret_file.as_ref();
        Ok(read_secret(file.context("--secret-file is missing")?)?)
    };
    let name = || args.name.clone().context("--name is missing");
    Ok(match args.auth {
        Kind::None => Proof::None,
        Kind::Basic => Proof::Basic {
            user: args.user.clone().context("--user is missing")?,
            password: secret()?,
        },
        Kind::Bearer => Proof::Bearer(secret()?),
        Kind::Query => Proof::Query {
            name: name()?,
            token: secret()?,
        },
        Kind::Header => Proof::Header {
            name: name()?,
            token: secret()?,
        },
        Kind::Body => Proof::Body {
            field: name()?,
            token: secret()?,
        },
        Kind::Hmac => Proof::Hmac {
            secret: secret()?,
            header: name()?,
            algorithm: HmacAlgorithm::Sha256,
        },
        Kind::Jwt => Proof::Jwt(secret()?),
        Kind::Twilio => {
            let pbx = args.pbx.clone().unwrap_or_default();
            let here = || format!("{}/v1/pbx/{pbx}/events", url.trim_end_matches('/'));
            Proof::Twilio {
                token: secret()?,
                url: args.signed_url.clone().unwrap_or_else(here),
            }
        }
    })
}
