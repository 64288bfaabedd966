//! `auth` of a `[[pbx]]`: how it proves itself. Called by `pbx.rs`.

use super::super::file::auth::AuthFile;
use super::super::types::{Auth, HmacAlgorithm};
use super::fields::Fields;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The proof where it is all right; what is wrong with its parts is reported in any case.
pub fn auth(
    path: &str,
    file: &AuthFile,
    listen: Option<SocketAddr>,
    fields: &mut Fields<'_>,
) -> Option<Auth> {
    match file {
        AuthFile::Basic {
            user,
            password_file,
        } => {
            let user = user_name(path, user.as_ref(), fields);
            let password_file = fields.secret(path, "password_file", password_file.as_deref())?;
            user.map(|user| Auth::Basic {
                user,
                password_file,
            })
        }
        AuthFile::Bearer { token_file } => {
            let token_file = fields.secret(path, "token_file", token_file.as_deref())?;
            Some(Auth::Bearer { token_file })
        }
        AuthFile::Hmac {
            secret_file,
            header,
            algorithm,
        } => {
            let secret_file = fields.secret(path, "secret_file", secret_file.as_deref());
            hmac(path, secret_file, header.as_ref(), *algorithm, fields)
        }
        AuthFile::Query { name, token_file } => {
            let name = parameter(path, "name", name.as_ref(), fields);
            let token_file = fields.secret(path, "token_file", token_file.as_deref())?;
            name.map(|name| Auth::Query { name, token_file })
        }
        AuthFile::Header { name, token_file } => {
            let name = header_name(path, "name", name.as_ref(), fields);
            let token_file = fields.secret(path, "token_file", token_file.as_deref())?;
            name.map(|name| Auth::Header { name, token_file })
        }
        AuthFile::Body { field, token_file } => {
            let field = parameter(path, "field", field.as_ref(), fields);
            let token_file = fields.secret(path, "token_file", token_file.as_deref())?;
            field.map(|field| Auth::Body { field, token_file })
        }
        AuthFile::Jwt { secret_file } => {
            let secret_file = fields.secret(path, "secret_file", secret_file.as_deref())?;
            Some(Auth::Jwt { secret_file })
        }
        AuthFile::Twilio { token_file, url } => {
            let url = public_url(path, url.as_ref(), fields);
            let token_file = fields.secret(path, "token_file", token_file.as_deref())?;
            url.map(|url| Auth::Twilio { token_file, url })
        }
        AuthFile::None {} => Some(none(path, listen, fields)),
    }
}

fn hmac(
    path: &str,
    secret_file: Option<PathBuf>,
    header: Option<&String>,
    algorithm: Option<HmacAlgorithm>,
    fields: &mut Fields<'_>,
) -> Option<Auth> {
    let header = header_name(path, "header", header, fields);
    let algorithm = fields.need(path, "algorithm", algorithm.as_ref()).copied();
    Some(Auth::Hmac {
        secret_file: secret_file?,
        header: header?,
        algorithm: algorithm?,
    })
}

fn none(path: &str, listen: Option<SocketAddr>, fields: &mut Fields<'_>) -> Auth {
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        let what =
            "without a proof anybody who reaches daemon.listen could write calls into Kustomer";
        let allowed = "kind = \"none\" only while daemon.listen is on loopback (127.0.0.1)";
        fields.origins.fault(path, what, allowed);
    }
    Auth::None
}

fn user_name(path: &str, user: Option<&String>, fields: &mut Fields<'_>) -> Option<String> {
    let user = fields.need(path, "user", user)?;
    if user.is_empty() || user.contains(':') {
        let what = "a user's name is not empty and has no colon (RFC 7617)";
        fields.origins.fault(&format!("{path}.user"), what, "");
    }
    Some(user.clone())
}

fn header_name(
    path: &str,
    key: &str,
    header: Option<&String>,
    fields: &mut Fields<'_>,
) -> Option<String> {
    let header = fields.need(path, key, header)?;
    if header.parse::<hyper::header::HeaderName>().is_err() {
        let allowed = "letters, digits and -, such as \"x-signature\"";
        fields.wrong(
            &format!("{path}.{key}"),
            header,
            "is no name of a header",
            allowed,
        );
    }
    Some(header.clone())
}

fn parameter(
    path: &str,
    key: &str,
    name: Option<&String>,
    fields: &mut Fields<'_>,
) -> Option<String> {
    let name = fields.need(path, key, name)?;
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if name.is_empty() || !plain {
        let allowed = "letters, digits, _, - and .";
        fields.wrong(
            &format!("{path}.{key}"),
            name,
            "is no name of a parameter",
            allowed,
        );
    }
    Some(name.clone())
}

/// The address that a signature is made over: as the sender calls it, which is what its own settings say.
fn public_url(path: &str, url: Option<&String>, fields: &mut Fields<'_>) -> Option<String> {
    let url = fields.need(path, "url", url)?;
    let uri = url.parse::<hyper::Uri>().ok();
    let whole = uri.as_ref().is_some_and(|uri| {
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = uri
            .authority()
            .is_some_and(|host| !host.as_str().contains('@'));
        web && bare && uri.query().is_none() && !url.contains('#')
    });
    if !whole {
        let allowed = "the address that the phone system posts to, such as \
                       \"https://tieline.example.com/v1/pbx/twilio/events\", without user, query and fragment";
        fields.wrong(&format!("{path}.url"), url, "is no such address", allowed);
    }
    Some(url.clone())
}
