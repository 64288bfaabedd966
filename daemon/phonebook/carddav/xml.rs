//! XML of a contact server as a tree of elements, by namespace whatever the prefixes; and text made safe for a request.
//! Pure; `report` asks. No document type and no entities but XML's own five: nothing here can grow or reach out.

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;

/// Elements inside one another; a multistatus has eight.
pub const DEPTH_MAX: usize = 32;

/// Elements of a reply: twenty for each of the entries that an address book may have.
pub const ELEMENTS_MAX: usize = 1_000_000;

const DAV: &[u8] = b"DAV:";
const CARDDAV: &[u8] = b"urn:ietf:params:xml:ns:carddav";

/// Whose word an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Dav,
    CardDav,
    Other,
}

/// One element: its own text without that of its children.
#[derive(Clone, Debug)]
pub struct Element {
    pub space: Space,
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn is(&self, space: Space, name: &str) -> bool {
        self.space == space && self.name == name
    }

    /// The children of that name in `DAV:`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children
            .iter()
            .filter(move |child| child.is(Space::Dav, name))
    }

    /// The first child of that name.
    pub fn child(&self, space: Space, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(space, name))
    }
}

/// The document's root.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<Element, &'static str> {
    let mut reader = NsReader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut count = 0_usize;
    loop {
        let (space, event) = reader
            .read_resolved_event()
            .map_err(|_| "it is not whole XML")?;
        let space = match space {
            ResolveResult::Bound(bound) if bound.0 == DAV => Space::Dav,
            ResolveResult::Bound(bound) if bound.0 == CARDDAV => Space::CardDav,
            ResolveResult::Bound(_) | ResolveResult::Unbound | ResolveResult::Unknown(_) => {
                Space::Other
            }
        };
        let closed = match event {
            Event::Start(start) => {
                open.push(element(space, start.local_name().as_ref()));
                None
            }
            Event::Empty(start) => Some(element(space, start.local_name().as_ref())),
            Event::End(_) => open.pop(),
            Event::Eof => return Err("it ends too early"),
            Event::DocType(_) => return Err("it has a document type"),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            event @ (Event::Text(_) | Event::CData(_) | Event::GeneralRef(_)) => {
                if let Some(inside) = open.last_mut() {
                    say(&event, &mut inside.text)?;
                }
                continue;
            }
        };
        count += 1;
        if open.len() > DEPTH_MAX || count > ELEMENTS_MAX * 2 {
            return Err("it has too many elements");
        }
        let Some(closed) = closed else { continue };
        match open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => return Ok(closed),
        }
    }
}

fn element(space: Space, name: &[u8]) -> Element {
    Element {
        space,
        name: String::from_utf8_lossy(name).into_owned(),
        text: String::new(),
        children: Vec::new(),
    }
}

/// Adds what one piece of text says.
fn say(event: &Event<'_>, text: &mut String) -> Result<(), &'static str> {
    const BAD: &str = "its text can't be read";
    match event {
        Event::Text(part) => text.push_str(&part.decode().map_err(|_| BAD)?),
        Event::CData(part) => text.push_str(&part.decode().map_err(|_| BAD)?),
        Event::GeneralRef(reference) => match reference.resolve_char_ref() {
            Ok(Some(character)) => text.push(character),
            Ok(None) => {
                let name = reference.decode().map_err(|_| BAD)?;
                let known = quick_xml::escape::resolve_predefined_entity(&name);
                text.push_str(known.ok_or("it has entities of its own")?);
            }
            Err(_) => return Err(BAD),
        },
        Event::Start(_)
        | Event::End(_)
        | Event::Empty(_)
        | Event::Comment(_)
        | Event::Decl(_)
        | Event::PI(_)
        | Event::DocType(_)
        | Event::Eof => {}
    }
    Ok(())
}

/// Text for the inside of an element.
pub fn escape(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    quick_xml::escape::escape(plain.as_str()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_do_not_matter() {
        for text in [
            "<d:a xmlns:d='DAV:'><d:b>x &amp; &#x79;<!-- z --><![CDATA[<]]></d:b></d:a>",
            "<a xmlns='DAV:'><b>x &amp; y&lt;</b></a>",
            "<?xml version='1.0'?>\n<D:a xmlns:D='DAV:'><b xmlns='DAV:'>x &amp; y&lt;</b></D:a>",
        ] {
            let root = parse(text).unwrap();
            assert!(root.is(Space::Dav, "a"), "{text}");
            assert_eq!(
                root.child(Space::Dav, "b").unwrap().text,
                "x & y<",
                "{text}"
            );
        }
        let other = parse("<a xmlns='x'><b/></a>").unwrap();
        assert!(other.is(Space::Other, "a") && other.child(Space::Dav, "b").is_none());
    }

    #[test]
    fn what_could_grow_or_is_not_whole_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        for text in [
            "",
            "x",
            "<a>",
            "<a><b></a>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<a>&b;</a>",
            deep.as_str(),
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(escape("a<b>&\u{0}"), "a&lt;b&gt;&amp;");
    }
}
