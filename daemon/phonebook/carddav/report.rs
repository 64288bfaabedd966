//! What is asked of a contact server in XML, and what its answers say (RFC 4918 multistatus, RFC 6352, RFC 6578). Pure;
//! `discovery` and `carddav` send and read.

use super::xml::{self, Element, Space};
use jiff::Timestamp;
use std::fmt::Write as _;

/// What an address says of itself.
pub const PROPFIND_SELF: &str = r#"<?xml version="1.0" encoding="utf-8"?><d:propfind xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav"><d:prop><d:resourcetype/><d:current-user-principal/><c:addressbook-home-set/><d:supported-report-set/></d:prop></d:propfind>"#;

/// The entries of an address book, where there is no sync-collection.
pub const PROPFIND_ETAGS: &str = r#"<?xml version="1.0" encoding="utf-8"?><d:propfind xmlns:d="DAV:"><d:prop><d:resourcetype/><d:getetag/></d:prop></d:propfind>"#;

const NAMESPACES: &str = r#"xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav""#;

const WANTED: &str = "<d:prop><d:getetag/><d:getlastmodified/><c:address-data/></d:prop>";

/// What changed since `token`; everything without one (RFC 6578, section 3.2).
pub fn sync_collection(token: &str) -> String {
    let token = xml::escape(token);
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><d:sync-collection xmlns:d="DAV:"><d:sync-token>{token}</d:sync-token><d:sync-level>1</d:sync-level><d:prop><d:getetag/></d:prop></d:sync-collection>"#
    )
}

/// The cards at these paths (RFC 6352, section 8.7).
pub fn multiget<'a>(paths: impl IntoIterator<Item = &'a str>) -> String {
    let mut hrefs = String::new();
    for path in paths {
        let _ = write!(hrefs, "<d:href>{}</d:href>", xml::escape(path));
    }
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><c:addressbook-multiget {NAMESPACES}>{WANTED}{hrefs}</c:addressbook-multiget>"#
    )
}

/// The cards with this UID (RFC 6352, section 8.6).
pub fn by_uid(uid: &str) -> String {
    let uid = xml::escape(uid);
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><c:addressbook-query {NAMESPACES}>{WANTED}<c:filter><c:prop-filter name="UID"><c:text-match match-type="equals">{uid}</c:text-match></c:prop-filter></c:filter></c:addressbook-query>"#
    )
}

/// An answer of several parts.
#[derive(Clone, Debug, Default)]
pub struct Multistatus {
    pub parts: Vec<Part>,
    pub sync_token: Option<String>,
}

/// What is said of one address.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// As the server wrote it.
    pub href: String,
    /// The address's own; none where properties follow.
    pub status: Option<u16>,
    pub etag: Option<String>,
    pub modified: Option<Timestamp>,
    pub card: Option<String>,
    pub collection: bool,
    pub address_book: bool,
    /// It understands sync-collection.
    pub syncs: bool,
    pub principal: Option<String>,
    pub homes: Vec<String>,
}

/// Reads a 207.
///
/// # Errors
/// What is wrong with it, in words.
pub fn multistatus(text: &str) -> Result<Multistatus, &'static str> {
    let root = xml::parse(text)?;
    if !root.is(Space::Dav, "multistatus") {
        return Err("it is no multistatus");
    }
    let token = root.child(Space::Dav, "sync-token");
    Ok(Multistatus {
        parts: root.all("response").flat_map(parts).collect(),
        sync_token: token.map(|token| token.text.trim().to_owned()),
    })
}

/// One, or one for each address where several share a status.
fn parts(response: &Element) -> Vec<Part> {
    let mut part = Part {
        status: response.child(Space::Dav, "status").and_then(status),
        ..Part::default()
    };
    for found in response.all("propstat") {
        let fine = found
            .child(Space::Dav, "status")
            .and_then(status)
            .is_none_or(|status| (200..300).contains(&status));
        if fine {
            found
                .all("prop")
                .for_each(|prop| properties(prop, &mut part));
        }
    }
    let hrefs = response.all("href").map(|href| href.text.trim().to_owned());
    hrefs
        .map(|href| Part {
            href,
            ..part.clone()
        })
        .collect()
}

fn properties(prop: &Element, part: &mut Part) {
    let text = |name: &str| {
        let found = prop.child(Space::Dav, name);
        found
            .map(|one| one.text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    if let Some(etag) = text("getetag") {
        part.etag = Some(etag);
    }
    if let Some(modified) = text("getlastmodified").and_then(|text| http_date(&text)) {
        part.modified = Some(modified);
    }
    if let Some(card) = prop.child(Space::CardDav, "address-data") {
        part.card = Some(card.text.clone());
    }
    if let Some(kind) = prop.child(Space::Dav, "resourcetype") {
        part.collection = kind.child(Space::Dav, "collection").is_some();
        part.address_book = kind.child(Space::CardDav, "addressbook").is_some();
    }
    if let Some(principal) = prop.child(Space::Dav, "current-user-principal") {
        part.principal = hrefs(principal).next();
    }
    if let Some(homes) = prop.child(Space::CardDav, "addressbook-home-set") {
        part.homes = hrefs(homes).collect();
    }
    if let Some(reports) = prop.child(Space::Dav, "supported-report-set") {
        part.syncs = reports
            .all("supported-report")
            .flat_map(|one| one.all("report"))
            .any(|report| report.child(Space::Dav, "sync-collection").is_some());
    }
}

fn hrefs(element: &Element) -> impl Iterator<Item = String> {
    let hrefs = element.all("href").map(|href| href.text.trim().to_owned());
    hrefs.filter(|href| !href.is_empty())
}

/// `HTTP/1.1 404 Not Found`
fn status(element: &Element) -> Option<u16> {
    element.text.split_whitespace().nth(1)?.parse().ok()
}

/// `Fri, 20 Nov 2026 12:24:29 GMT`
pub fn http_date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(at.timestamp())
}

/// The conditions that an error names: `valid-sync-token`, `no-uid-conflict` (RFC 4918, section 16).
pub fn conditions(text: &str) -> Vec<String> {
    let Ok(root) = xml::parse(text) else {
        return Vec::new();
    };
    let named = root.children.into_iter();
    let named = named.filter(|child| matches!(child.space, Space::Dav | Space::CardDav));
    if root.space == Space::Dav && root.name == "error" {
        named.map(|child| child.name).collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_answer_tells_changed_gone_and_more() {
        let text = r#"<?xml version="1.0"?><multistatus xmlns="DAV:" xmlns:x="urn:ietf:params:xml:ns:carddav">
            <response><href>/a/1.vcf</href><propstat><prop><getetag>"e1"</getetag></prop><status>HTTP/1.1 200 OK</status></propstat>
              <propstat><prop><x:address-data/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>
            <response><href>/a/2.vcf</href><status>HTTP/1.1 404 Not Found</status></response>
            <response><href>/a/</href><status>HTTP/1.1 507 Insufficient Storage</status></response>
            <sync-token> http://x/7 </sync-token></multistatus>"#;
        let read = multistatus(text).unwrap();
        assert_eq!(read.sync_token.as_deref(), Some("http://x/7"));
        let told: Vec<_> = read
            .parts
            .iter()
            .map(|part| (part.href.as_str(), part.status, part.etag.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("/a/1.vcf", None, Some("\"e1\"")),
                ("/a/2.vcf", Some(404), None),
                ("/a/", Some(507), None)
            ]
        );
        assert!(
            read.parts[0].card.is_none(),
            "what a server doesn't have is no card"
        );
        assert!(multistatus("<html/>").is_err());
    }

    #[test]
    fn errors_are_named() {
        let text = r#"<d:error xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav" xmlns:s="x"><s:message>m</s:message><c:no-uid-conflict/></d:error>"#;
        assert_eq!(conditions(text), ["no-uid-conflict"]);
        assert!(conditions("<html/>").is_empty() && conditions("no").is_empty());
        assert_eq!(
            http_date("Fri, 20 Nov 2026 12:24:29 GMT"),
            "2026-11-20T12:24:29Z".parse().ok()
        );
    }
}
