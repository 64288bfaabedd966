//! HTTP to one contact server: password, timeouts, sizes, redirects, and what a refusal means. The only file here that
//! knows reqwest; `discovery` and `carddav` ask.
//!
//! Each request is sent once; only redirects of questions are followed, on the same origin, and a 401 is asked again when
//! the password file holds another password by then. Proxy variables of the environment are not read.

use super::report::{self, Multistatus};
use crate::phonebook::{Etag, PhonebookFault};
use crate::settings::types::CardDavSettings;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::{Certificate, Method, Response, Url, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest reply: a batch of cards with pictures has room.
pub const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A connection that takes longer than this to open will not do better by waiting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than what servers keep idle connections for.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Redirects one after another; `/.well-known/carddav` needs one.
const REDIRECTS_MAX: usize = 5;
/// A password file holds a line.
const PASSWORD_BYTES_MAX: u64 = 16 * 1024;
/// Conditions that are repeated from an error, and how much of each.
const CONDITIONS_SHOWN: usize = 3;
const CONDITION_CHARS_MAX: usize = 60;

/// What needs no percent sign in a part of a path (RFC 3986, section 3.3), less what servers treat differently.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub kind: Kind<'a>,
    /// With percent signs, from the root.
    pub path: &'a str,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// With its depth and its body.
    Propfind(&'static str, &'a str),
    /// With its depth and its body.
    Report(&'static str, &'a str),
    Get,
    /// A new card: only if nothing is there.
    Create(&'a str),
    /// A card in place of the one of that version.
    Replace(&'a Etag, &'a str),
    Delete(&'a Etag),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<Etag>,
    pub modified: Option<jiff::Timestamp>,
    /// Whence it came, after redirects.
    pub path: String,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    pub start: Url,
    user: String,
    password_file: PathBuf,
    password: Mutex<SecretString>,
    timeout: Duration,
}

impl Kind<'_> {
    /// It changes something.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Propfind(..) | Self::Report(..) | Self::Get => false,
            Self::Create(_) | Self::Replace(..) | Self::Delete(_) => true,
        }
    }

    const fn method(&self) -> &'static [u8] {
        match self {
            Self::Propfind(..) => b"PROPFIND",
            Self::Report(..) => b"REPORT",
            Self::Get => b"GET",
            Self::Create(_) | Self::Replace(..) => b"PUT",
            Self::Delete(_) => b"DELETE",
        }
    }
}

impl Http {
    /// Reads the password file; speaks to nobody yet.
    ///
    /// # Errors
    /// `Refused` if a file or the address can't be used.
    pub fn new(settings: &CardDavSettings) -> Result<Self, PhonebookFault> {
        let start = Url::parse(&settings.url).map_err(|fault| refused(format!("url: {fault}")))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tieline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy();
        if let Some(file) = &settings.ca_file {
            let unusable = |what: String| refused(format!("{}: {what}", file.display()));
            let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|_| unusable("holds no certificates".to_owned()))?;
            builder = builder.tls_certs_only(certificates);
        }
        Ok(Self {
            client: builder
                .build()
                .map_err(|fault| refused(innermost(&fault)))?,
            start,
            user: settings.user.clone(),
            password: Mutex::new(read_password(&settings.password_file)?),
            password_file: settings.password_file.clone(),
            timeout: settings.timeout,
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// `Unreachable` without a whole answer, `Refused` for a wrong password or a redirect elsewhere.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer, PhonebookFault> {
        let mut path = ask.path.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let ask = Ask { path: &path, ..ask };
            let password = self.password();
            let mut response = self.send_once(ask, &password).await?;
            if response.status() == 401
                && let Some(password) = self.changed_password(&password)
            {
                response = self.send_once(ask, &password).await?;
            }
            match response.status().as_u16() {
                401 => return Err(refused("the contact server refuses user or password")),
                301..=303 | 307 | 308 if !ask.kind.writes() => path = self.redirect(&response)?,
                301..=303 | 307 | 308 => {
                    return Err(refused(
                        "the contact server redirects a write: correct the url",
                    ));
                }
                _ => {
                    let writes = ask.kind.writes();
                    return self.answer(response, path, writes).await;
                }
            }
        }
        Err(refused("the contact server redirects in circles"))
    }

    /// The same, where a multistatus must come; none for an answer that says that there is nothing.
    ///
    /// # Errors
    /// As [`Http::send`], and what [`refusal`] makes of another status.
    pub async fn multistatus(&self, ask: Ask<'_>) -> Result<(String, Multistatus), PhonebookFault> {
        let answer = self.send(ask).await?;
        if answer.status != 207 {
            return Err(refusal(&answer, false));
        }
        let text = String::from_utf8_lossy(&answer.body);
        let read = report::multistatus(&text).map_err(garbled)?;
        Ok((answer.path, read))
    }

    /// The path of an address that the server named, in one spelling; None if it is elsewhere.
    pub fn own_path(&self, base: &str, href: &str) -> Option<String> {
        let url = self
            .start
            .join(base)
            .and_then(|base| base.join(href))
            .ok()?;
        (url.origin() == self.start.origin()).then(|| spelled(url.path()))
    }

    async fn send_once(
        &self,
        ask: Ask<'_>,
        password: &SecretString,
    ) -> Result<Response, PhonebookFault> {
        let unsendable = |_| refused(format!("no request can be made of {}", ask.path));
        let method =
            Method::from_bytes(ask.kind.method()).map_err(|fault| refused(fault.to_string()))?;
        let url = self.start.join(ask.path).map_err(unsendable)?;
        let request = self
            .client
            .request(method, url)
            .basic_auth(&self.user, Some(password.expose_secret()));
        let xml = HeaderValue::from_static("application/xml; charset=utf-8");
        let card = HeaderValue::from_static("text/vcard; charset=utf-8");
        let condition = |etag: &Etag| {
            HeaderValue::try_from(&etag.0).map_err(|_| refused("the etag has no form"))
        };
        let request = match ask.kind {
            Kind::Propfind(depth, body) | Kind::Report(depth, body) => request
                .header("depth", depth)
                .header(CONTENT_TYPE, xml)
                .body(body.to_owned()),
            Kind::Get => request,
            Kind::Create(text) => request
                .header(IF_NONE_MATCH, "*")
                .header(CONTENT_TYPE, card)
                .body(text.to_owned()),
            Kind::Replace(etag, text) => request
                .header(IF_MATCH, condition(etag)?)
                .header(CONTENT_TYPE, card)
                .body(text.to_owned()),
            Kind::Delete(etag) => request.header(IF_MATCH, condition(etag)?),
        };
        let sent = request.send().await;
        sent.map_err(|fault| self.no_answer(&fault, ask.kind.writes()))
    }

    async fn answer(
        &self,
        mut response: Response,
        path: String,
        writes: bool,
    ) -> Result<Answer, PhonebookFault> {
        let header = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let mut answer = Answer {
            status: response.status().as_u16(),
            etag: header(ETAG).map(Etag),
            modified: header(LAST_MODIFIED).and_then(|text| report::http_date(&text)),
            path,
            body: Vec::new(),
        };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if answer.body.len() + chunk.len() > REPLY_BYTES_MAX => {
                    let what =
                        format!("the contact server's answer is over {REPLY_BYTES_MAX} bytes");
                    return Err(unreachable(what, writes));
                }
                Ok(Some(chunk)) => answer.body.extend_from_slice(&chunk),
                Ok(None) => return Ok(answer),
                // What a write was answered is in its status.
                Err(_) if writes => return Ok(answer),
                Err(fault) => return Err(self.no_answer(&fault, writes)),
            }
        }
    }

    fn redirect(&self, response: &Response) -> Result<String, PhonebookFault> {
        let target = response.headers().get(LOCATION);
        let target = target.and_then(|value| value.to_str().ok());
        let url = target.and_then(|target| response.url().join(target).ok());
        let url = url.ok_or_else(|| refused("the contact server redirects to nowhere"))?;
        if url.origin() == self.start.origin() {
            return Ok(url.path().to_owned());
        }
        let origin = url.origin().ascii_serialization();
        Err(refused(format!(
            "the contact server redirects to {origin}; the password stays here: if that is right, put it into url"
        )))
    }

    fn no_answer(&self, fault: &reqwest::Error, writes: bool) -> PhonebookFault {
        if fault.is_builder() {
            refused(innermost(fault))
        } else if fault.is_connect() {
            unreachable(
                format!("no connection to the contact server: {}", innermost(fault)),
                false,
            )
        } else if fault.is_timeout() {
            let seconds = self.timeout.as_secs_f64();
            unreachable(
                format!("no answer from the contact server within {seconds} s"),
                writes,
            )
        } else {
            unreachable(
                format!("the contact server's answer was cut: {}", innermost(fault)),
                writes,
            )
        }
    }

    fn password(&self) -> SecretString {
        let password = self.password.lock();
        password.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The password file's password if it is another than `used`. The file is small and local, so that reading it here
    /// holds up nothing.
    fn changed_password(&self, used: &SecretString) -> Option<SecretString> {
        let password = read_password(&self.password_file).ok()?;
        if password.expose_secret() == used.expose_secret() {
            return None;
        }
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) = password.clone();
        Some(password)
    }
}

/// What an answer means that isn't the wanted one. 412 and what a lookup makes of 404 is for the caller.
pub fn refusal(answer: &Answer, writes: bool) -> PhonebookFault {
    let conditions = report::conditions(&String::from_utf8_lossy(&answer.body));
    let status = answer.status;
    let mut why = format!("the contact server answered {status}");
    for condition in conditions.iter().take(CONDITIONS_SHOWN) {
        why.push_str(", ");
        why.extend(condition.chars().take(CONDITION_CHARS_MAX));
    }
    match status {
        404 | 410 if writes => PhonebookFault::Gone,
        // With a condition it is this card that is wrong (RFC 6352, section 6.3.2.1), without one it is the right to write.
        403 | 409 if writes && !conditions.is_empty() && !needs_privilege(&conditions) => {
            PhonebookFault::Rejected(why)
        }
        400 | 413 | 415 | 422 if writes => PhonebookFault::Rejected(why),
        403 if writes => refused(format!("{why}: has the user the right to write?")),
        412 if writes => PhonebookFault::Changed,
        404 | 405 | 410 => refused(format!("{why}: is the url an address book's?")),
        408 | 423 | 429 | 503 => unreachable(why, false),
        507 => refused(format!("{why}: is there room left?")),
        500.. => unreachable(why, writes),
        _ => refused(why),
    }
}

fn needs_privilege(conditions: &[String]) -> bool {
    conditions.iter().any(|one| one == "need-privileges")
}

/// A path with each part percent-encoded in one way, so that two spellings of a path are one.
pub fn spelled(path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(respelled).collect();
    parts.join("/")
}

fn respelled(part: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(part).collect();
    percent_encoding::percent_encode(&bytes, &SEGMENT).to_string()
}

/// Text as one part of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, &SEGMENT).to_string()
}

pub fn refused(why: impl Into<String>) -> PhonebookFault {
    PhonebookFault::Refused(why.into())
}

pub const fn unreachable(why: String, unclear: bool) -> PhonebookFault {
    PhonebookFault::Unreachable { why, unclear }
}

/// An answer that can't be used; nothing of it counts.
pub fn garbled(what: &str) -> PhonebookFault {
    unreachable(format!("the contact server's answer: {what}"), false)
}

/// The file's password, without the line break that editors add.
fn read_password(file: &Path) -> Result<SecretString, PhonebookFault> {
    let fault = |what: &str| refused(format!("{}: {what}", file.display()));
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| fault(&error.to_string()))?;
    let text = SecretString::from(text);
    let password = text.expose_secret().trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.chars().any(char::is_control) {
        return Err(fault("must hold the password alone, on one line"));
    }
    Ok(SecretString::from(password))
}

/// The first cause, which says the most; the outer ones hold the address.
fn innermost(fault: &reqwest::Error) -> String {
    let mut cause: &dyn Error = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_a_path_are_one() {
        assert_eq!(spelled("/a@b/c%20d/"), "/a%40b/c%20d/");
        assert_eq!(spelled("/a%40b/c%20d/"), "/a%40b/c%20d/");
        assert_eq!(spelled("/a%2fb"), "/a%2Fb");
        assert_eq!(segment("a/b:ä"), "a%2Fb%3A%C3%A4");
    }
}
