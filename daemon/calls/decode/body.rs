//! Bodies: what kind one is by its first byte, whether it is whole, and how forms, base64 and percent signs are undone.
//! Used by the dialects; knows none of them.

use super::{Malformed, NESTING_MAX};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// Padding is taken as it comes: some senders leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Kinds of content that no phone system calls an event by mistake.
const FOREIGN_CONTENT: &[&str] = &[
    "image/",
    "audio/",
    "video/",
    "font/",
    "model/",
    "multipart/",
    "application/pdf",
    "application/zip",
    "application/gzip",
];

/// A body by its first byte; phone systems label JSON as a form and the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    Json(Cow<'a, str>),
    Xml(Cow<'a, str>),
    /// `name=value&…`, still encoded.
    Form(&'a str),
}

/// Refuses pictures, sounds and file uploads; everything else is told by its bytes.
pub fn check_content_type(content_type: Option<&str>) -> Result<(), Malformed> {
    let given = content_type.unwrap_or_default().trim().to_ascii_lowercase();
    if FOREIGN_CONTENT
        .iter()
        .any(|foreign| given.starts_with(foreign))
    {
        return Err(Malformed::ContentType);
    }
    Ok(())
}

/// The kind of `body`.
pub fn sniff(body: &[u8]) -> Result<Payload<'_>, Malformed> {
    let text = std::str::from_utf8(body).map_err(|fault| Malformed::NotUtf8 {
        at: fault.valid_up_to(),
    })?;
    Ok(match kind(text)? {
        (Kind::Json, json) => Payload::Json(Cow::Borrowed(json)),
        (Kind::Xml, xml) => Payload::Xml(Cow::Borrowed(xml)),
        (Kind::Form, form) => Payload::Form(form),
    })
}

enum Kind {
    Json,
    Xml,
    Form,
}

/// What `text` is by its first character, and `text` from there on.
fn kind(text: &str) -> Result<(Kind, &str), Malformed> {
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    match start.bytes().next() {
        None => Err(Malformed::Empty),
        Some(b'{' | b'[') => Ok((Kind::Json, start)),
        Some(b'<') => Ok((Kind::Xml, start)),
        Some(_) if start.contains('=') => Ok((Kind::Form, start.trim_end())),
        Some(_) => Err(Malformed::Unknown),
    }
}

/// The document inside field `name` of a form: raw, percent-encoded or base64. None if the form has no such field.
/// A plus is a plus: base64 needs it, and the senders of such forms write a blank as `%20`.
pub fn document_in_form<'a>(form: &'a str, name: &str) -> Result<Option<Payload<'a>>, Malformed> {
    let Some(value) = form_field(form, name) else {
        return Ok(None);
    };
    // Unencoded, an ampersand may be part of the document.
    if value.starts_with(['<', '{']) {
        return sniff(value.as_bytes()).map(Some);
    }
    let value = value.split('&').next().unwrap_or_default();
    let document = if value.contains('%') {
        from_percent(value)?
    } else {
        from_base64(value)?
    };
    Ok(Some(match kind(&document)? {
        (Kind::Json, json) => Payload::Json(Cow::Owned(json.to_owned())),
        (Kind::Xml, xml) => Payload::Xml(Cow::Owned(xml.to_owned())),
        (Kind::Form, _) => return Err(Malformed::Form),
    }))
}

/// Everything from field `name`'s value to the end of the form.
fn form_field<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = form;
    loop {
        if let Some(value) = rest
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            return Some(value);
        }
        rest = rest.split_once('&')?.1;
    }
}

fn from_percent(value: &str) -> Result<String, Malformed> {
    check_percent(value)?;
    let bytes = percent_decode_str(value);
    bytes
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Malformed::Form)
}

/// Every `%` is followed by two hex digits.
pub fn check_percent(form: &str) -> Result<(), Malformed> {
    let mut parts = form.split('%');
    parts.next();
    let whole = |part: &str| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if parts.all(whole) {
        Ok(())
    } else {
        Err(Malformed::Form)
    }
}

fn from_base64(value: &str) -> Result<String, Malformed> {
    let packed: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64.decode(packed).map_err(|_| Malformed::Form)?;
    String::from_utf8(bytes).map_err(|_| Malformed::Form)
}

/// One value inside a document, percent-decoded; bytes that are no UTF-8 become U+FFFD, for names must not cost a call.
pub fn percent_decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// Whether `json` is whole and not too deep; builds nothing.
pub fn check_json(json: &str) -> Result<(), Malformed> {
    // Depth first: it bounds what the parser has to hold.
    check_json_depth(json)?;
    serde_json::from_str::<IgnoredAny>(json).map_err(|fault| json_fault(&fault))?;
    Ok(())
}

/// Where the parser stopped.
pub fn json_fault(fault: &serde_json::Error) -> Malformed {
    Malformed::Json {
        line: fault.line(),
        column: fault.column(),
    }
}

fn check_json_depth(json: &str) -> Result<(), Malformed> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(Malformed::TooDeep);
        }
    }
    Ok(())
}

/// Where the reader stopped.
pub fn xml_fault(reader: &Reader<&[u8]>) -> Malformed {
    Malformed::Xml {
        at: usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX),
    }
}

/// Whether `xml` is whole, not too deep and without a DOCTYPE, so that no entity can be declared.
pub fn check_xml(xml: &str) -> Result<(), Malformed> {
    let mut reader = Reader::from_str(xml);
    let mut depth = 0_usize;
    let mut seen = false;
    loop {
        let event = reader.read_event();
        match event {
            Ok(Event::Eof) if seen && depth == 0 => return Ok(()),
            Ok(Event::Eof | Event::DocType(_)) | Err(_) => return Err(xml_fault(&reader)),
            Ok(Event::Start(_)) => {
                depth += 1;
                seen = true;
            }
            Ok(Event::Empty(_)) => seen = true,
            // The reader itself refuses an end that nothing began.
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(
                Event::Text(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::GeneralRef(_),
            ) => {}
        }
        if depth > NESTING_MAX {
            return Err(Malformed::TooDeep);
        }
    }
}
