//! The live connection of one `[[pbx]]`: address, user, password, and what belongs to which protocol.

use super::super::file::PbxFile;
use super::super::read;
use super::super::types::{Dialect, LinkSettings, Protocol};
use super::fields::Fields;
use std::time::Duration;

/// What stands in front of an address, what it means, whether it is TLS, the port where none is given, and whose it is.
const SCHEMES: [(&str, Protocol, bool, u16, Dialect); 3] = [
    ("ami", Protocol::Ami, false, 5038, Dialect::Asterisk),
    ("amis", Protocol::Ami, true, 5039, Dialect::Asterisk),
    ("esl", Protocol::Esl, false, 8021, Dialect::Freeswitch),
];

/// A ping also writes down that the connection is alive, so that after a kill a gap begins at most so much too early. A
/// second is the daemon's own beat; firewalls forget a quiet connection after some minutes.
const KEEP_ALIVE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5 * 60)];

const ALLOWED: &str =
    "\"ami://HOST:5038\", \"amis://HOST:5039\" (TLS) or \"esl://HOST:8021\", without user and path";

/// The connection, if `connect` is set and all right. What is set for it without it is a fault.
pub fn link(path: &str, file: &PbxFile, fields: &mut Fields<'_>) -> Option<LinkSettings> {
    let at = |key: &str| format!("{path}.{key}");
    let Some(connect) = &file.connect else {
        let set = [
            ("user", file.user.is_some()),
            ("secret_file", file.secret_file.is_some()),
            ("ca_file", file.ca_file.is_some()),
            ("plain_login", file.plain_login),
            ("gap_csv", file.gap_csv.is_some()),
        ];
        for (key, _) in set.into_iter().filter(|(_, set)| *set) {
            let what = format!("{key} is for a connection, and there is no connect");
            fields.origins.fault(&at(key), what, "");
        }
        return None;
    };
    let secret_file = fields.secret(path, "secret_file", file.secret_file.as_deref());
    let Some((host, port, protocol, tls, dialect)) = address(connect) else {
        // Not repeated: a password may stand in it.
        fields.origins.fault(
            &at("connect"),
            "this is no address of a phone system",
            ALLOWED,
        );
        return None;
    };
    if file.dialect.is_some_and(|set| set != dialect) {
        let what = "this protocol is another dialect's: ami is Asterisk's, esl FreeSWITCH's";
        fields.origins.fault(&at("connect"), what, "");
    }
    let user = user(path, protocol, file, fields);
    if file.ca_file.is_some() && !tls {
        let what = "a certificate is for amis://, this connection has none";
        fields.origins.fault(&at("ca_file"), what, "");
    }
    if file.gap_csv.is_some() && protocol != Protocol::Ami {
        let what = "this is for Asterisk; for FreeSWITCH's records there is pickup_dir";
        fields.origins.fault(&at("gap_csv"), what, "");
    }
    let ca_file = file
        .ca_file
        .as_ref()
        .map(|text| fields.path(&at("ca_file"), text));
    if let Some(missing) = ca_file.as_ref().filter(|file| !file.is_file()) {
        let what = format!("the file {} is not there", missing.display());
        fields.origins.fault(&at("ca_file"), what, "");
    }
    let gap_csv = file.gap_csv.as_ref();
    let gap_csv = gap_csv.map(|text| fields.path(&at("gap_csv"), text));
    if !(tls || read::host_is_loopback(&host)) {
        fields.origins.notes.push(format!(
            "{}: events and, with plain_login or esl, the password go over the network as they are",
            at("connect")
        ));
    }
    Some(LinkSettings {
        protocol,
        tls,
        host,
        port,
        user,
        secret_file: secret_file?,
        ca_file,
        plain_login: file.plain_login,
        keep_alive: fields.duration(&at("keep_alive"), &file.keep_alive, KEEP_ALIVE),
        gap_csv,
    })
}

/// `ami://host:port` in its parts.
fn address(text: &str) -> Option<(String, u16, Protocol, bool, Dialect)> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let (_, protocol, tls, port, dialect) = SCHEMES.iter().find(|known| known.0 == scheme)?;
    let authority: hyper::http::uri::Authority = rest.trim_end_matches('/').parse().ok()?;
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    if host.is_empty() || rest.contains('@') {
        return None;
    }
    let port = match authority.port() {
        Some(port) => Some(port.as_u16()).filter(|port| *port > 0)?,
        // A colon without a number, or with one that is none.
        None if authority.as_str().len() > authority.host().len() => return None,
        None => *port,
    };
    Some((host.to_owned(), port, *protocol, *tls, *dialect))
}

fn user(path: &str, protocol: Protocol, file: &PbxFile, fields: &mut Fields<'_>) -> String {
    let user = file.user.clone().unwrap_or_default();
    if user.is_empty() && protocol == Protocol::Ami {
        let what = "user is missing";
        fields.origins.missing(
            &format!("{path}.user"),
            what,
            "the name in brackets in manager.conf",
        );
    }
    // A line end in it would be another line of the protocol.
    if user.contains(char::is_control) {
        let what = "a user's name has no control characters";
        fields.origins.fault(&format!("{path}.user"), what, "");
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_phone_systems() {
        let read =
            |text| address(text).map(|(host, port, protocol, tls, _)| (host, port, protocol, tls));
        let ami = |host: &str, port, tls| Some((host.to_owned(), port, Protocol::Ami, tls));
        assert_eq!(read("ami://pbx"), ami("pbx", 5038, false));
        assert_eq!(read("ami://pbx:1/"), ami("pbx", 1, false));
        assert_eq!(read("amis://[::1]:5039"), ami("::1", 5039, true));
        assert_eq!(
            read("esl://127.0.0.1"),
            Some(("127.0.0.1".to_owned(), 8021, Protocol::Esl, false))
        );
        for bad in [
            "",
            "pbx",
            "http://pbx",
            "ami://",
            "ami://u:p@pbx",
            "ami://pbx:0",
            "ami://pbx:x",
            "ami://pbx/x",
            "ami://pbx:",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
