//! `[kustomer.proxy]`: address, user and password belong together.

use super::super::file::ProxyFile;
use super::super::read;
use super::super::types::{ProxyLogin, ProxySettings};
use super::fields::Fields;

/// The proxy, if there is one and it is all right. `plain`: Kustomer is a sandbox on this machine without TLS.
pub fn proxy(
    path: &str,
    file: &ProxyFile,
    plain: bool,
    fields: &mut Fields<'_>,
) -> Option<ProxySettings> {
    let at = |key: &str| format!("{path}.{key}");
    let Some(url) = &file.url else {
        for (key, set) in [("user", &file.user), ("password_file", &file.password_file)] {
            if set.is_some() {
                let what = format!("{key} is for a proxy, and there is no url of one");
                fields.origins.fault(&at(key), what, "");
            }
        }
        return None;
    };
    // Not repeated: a password may stand in it.
    if let Err(what) = read::proxy(url) {
        let allowed = "\"http://HOST:PORT\", or https, without user, password and path";
        fields.origins.fault(&at("url"), what, allowed);
    }
    if plain {
        let what = "a sandbox on this machine is reached directly";
        fields.origins.fault(&at("url"), what, "no proxy");
    }
    let login = match (&file.user, &file.password_file) {
        (None, None) => None,
        (Some(user), written) => {
            fields.basic_user(&at("user"), user);
            let password_file = fields.secret(path, "password_file", written.as_deref());
            password_file.map(|password_file| ProxyLogin {
                user: user.clone(),
                password_file,
            })
        }
        (None, Some(_)) => {
            fields.need(path, "user", None::<&String>);
            None
        }
    };
    Some(ProxySettings {
        url: url.trim().trim_end_matches('/').to_owned(),
        login,
    })
}
