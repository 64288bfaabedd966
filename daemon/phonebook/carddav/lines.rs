//! A vCard as its content lines, each kept as it came: what isn't changed is written back byte for byte. Pure; `card`
//! reads the values, `patch` changes lines.
//!
//! A line is `group.NAME;PARAMETERS:VALUE`, folded over several physical lines that begin with a blank (RFC 6350,
//! section 3.2); quoted-printable ones of vCard 2.1 go on after a `=` at their end.

use std::fmt::Write as _;

/// Octets of a physical line, without its line break (RFC 6350, section 3.2).
pub const FOLD_BYTES: usize = 75;

/// Parameters that say how a value is encoded: a new value is plain.
const ENCODINGS: [&str; 5] = ["ENCODING", "CHARSET", "QUOTED-PRINTABLE", "BASE64", "8BIT"];

/// One content line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As it came, with folds and line break.
    pub raw: String,
    /// In capitals; empty for a line that is none.
    pub name: String,
    /// In small letters.
    pub group: Option<String>,
    /// Between name and value, without the first semicolon, unfolded.
    pub params: String,
    /// Unfolded, still escaped and encoded.
    pub value: String,
    /// A property of the card itself: not of a card inside it, nor behind its end.
    pub own: bool,
}

/// One vCard.
#[derive(Clone, Debug)]
pub struct Card {
    pub lines: Vec<Line>,
    /// What its lines end with.
    pub line_break: &'static str,
}

impl Card {
    /// The first card of `text`. None if there isn't a whole one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines: Vec<Line> = split(text).into_iter().map(Line::new).collect();
        let mut depth = 0_usize;
        let mut whole = false;
        for line in &mut lines {
            let card = line.value.trim().eq_ignore_ascii_case("VCARD");
            match line.name.as_str() {
                "BEGIN" if card || depth > 0 => depth += 1,
                "END" if depth > 0 => {
                    depth -= 1;
                    whole |= depth == 0;
                }
                _ => line.own = depth == 1 && !whole && !line.name.is_empty(),
            }
        }
        let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
        whole.then_some(Self { lines, line_break })
    }

    /// The card's own properties of that name, in capitals.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines
            .iter()
            .filter(move |line| line.own && line.name == name)
    }

    /// What stands behind `VERSION:`.
    pub fn version(&self) -> &str {
        self.all("VERSION")
            .next()
            .map_or("3.0", |line| line.value.trim())
    }

    /// The label that Apple's phones and others after them give a group.
    pub fn label(&self, line: &Line) -> Option<&str> {
        let group = line.group.as_deref()?;
        self.all("X-ABLABEL")
            .find(|label| label.group.as_deref() == Some(group))
            .map(|label| label.value.trim())
    }

    /// Puts a line behind the last one of its name, else before the card's end.
    pub fn insert(&mut self, head: &str, value: &str) {
        let line = self.line(head, value);
        let last_own = |lines: &[Line], fits: &dyn Fn(&Line) -> bool| {
            lines
                .iter()
                .rposition(|one| one.own && fits(one))
                .map(|at| at + 1)
        };
        // A group's lines stay together: a name of its own goes to the end.
        let at = last_own(&self.lines, &|one| {
            one.name == line.name && line.group.is_none()
        })
        .or_else(|| last_own(&self.lines, &|_| true))
        .unwrap_or(1);
        self.lines.insert(at.min(self.lines.len()), line);
    }

    /// A new line of this card.
    pub fn line(&self, head: &str, value: &str) -> Line {
        let mut line = Line::new(fold(&format!("{head}:{value}"), self.line_break));
        line.own = true;
        line
    }

    /// Takes lines out, and the labels that would stand alone then.
    pub fn remove(&mut self, gone: impl Fn(&Line) -> bool) {
        let mut groups = Vec::new();
        self.lines.retain(|line| {
            let goes = line.own && gone(line);
            if goes {
                groups.extend(line.group.clone());
            }
            !goes
        });
        for group in groups {
            let of_group = |line: &Line| line.own && line.group.as_deref() == Some(group.as_str());
            let label = |line: &Line| line.name.starts_with("X-AB");
            if self.lines.iter().any(|line| of_group(line) && !label(line)) {
                continue;
            }
            self.lines.retain(|line| !of_group(line));
        }
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.raw.as_str()).collect()
    }
}

impl Line {
    fn new(raw: String) -> Self {
        let unfolded = unfold(&raw);
        let colon = outside_quotes(&unfolded, ':');
        let (head, value) = colon
            .and_then(|at| unfolded.split_at_checked(at))
            .unwrap_or(("", ""));
        let (name, params) = head.split_once(';').unwrap_or((head, ""));
        let (group, name) = match name.rsplit_once('.') {
            Some((group, name)) => (Some(group.trim().to_ascii_lowercase()), name),
            None => (None, name),
        };
        Self {
            name: name.trim().to_ascii_uppercase(),
            group,
            params: params.to_owned(),
            value: value.strip_prefix(':').unwrap_or_default().to_owned(),
            own: false,
            raw,
        }
    }

    /// The words of `TYPE=` in capitals, and what vCard 2.1 writes without it.
    pub fn types(&self) -> Vec<String> {
        let mut words = Vec::new();
        for param in pieces(&self.params, ';') {
            let (key, value) = param.split_once('=').unwrap_or(("TYPE", param));
            if key.trim().eq_ignore_ascii_case("TYPE") {
                let plain = value.replace('"', "");
                words.extend(
                    plain
                        .split(',')
                        .map(|word| word.trim().to_ascii_uppercase()),
                );
            }
        }
        words
    }

    /// Group, name and parameters as they came, less those of `without` and of an encoding: the value that is put behind
    /// is plain.
    pub fn head(&self, without: &[&str]) -> String {
        let unfolded = unfold(&self.raw);
        let end = outside_quotes(&unfolded, ':').unwrap_or_default();
        let whole = unfolded.get(..end).unwrap_or_default();
        let mut params = pieces(whole, ';');
        let mut head = params.next().unwrap_or_default().to_owned();
        for param in params {
            let key = param.split('=').next().unwrap_or_default().trim();
            let dropped = ENCODINGS.iter().chain(without);
            if !dropped.into_iter().any(|one| key.eq_ignore_ascii_case(one)) {
                let _ = write!(head, ";{param}");
            }
        }
        head
    }
}

/// Content lines with their folds and line breaks.
fn split(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for physical in text.split_inclusive('\n') {
        let folded = physical.starts_with([' ', '\t']) || goes_on;
        match lines.last_mut().filter(|_| folded) {
            Some(line) => line.push_str(physical),
            None => lines.push(physical.to_owned()),
        }
        goes_on = physical.trim_end_matches(['\r', '\n']).ends_with('=')
            && lines.last().is_some_and(|line| quoted_printable(line));
    }
    lines
}

fn quoted_printable(line: &str) -> bool {
    let head = line.split(':').next().unwrap_or_default();
    head.to_ascii_uppercase().contains("QUOTED-PRINTABLE")
}

fn unfold(raw: &str) -> String {
    let qp = quoted_printable(raw);
    let mut unfolded = String::with_capacity(raw.len());
    for (number, physical) in raw.split('\n').enumerate() {
        let physical = physical.strip_suffix('\r').unwrap_or(physical);
        let part = match physical.strip_prefix([' ', '\t']) {
            Some(rest) if number > 0 && !qp => rest,
            _ => physical,
        };
        unfolded.push_str(if qp {
            part.strip_suffix('=').unwrap_or(part)
        } else {
            part
        });
    }
    unfolded
}

/// A content line in physical lines of at most [`FOLD_BYTES`], with no character cut.
pub fn fold(line: &str, line_break: &str) -> String {
    let mut folded = String::with_capacity(line.len() + line.len() / 32 + 2);
    let mut width = 0;
    for character in line.chars() {
        if width + character.len_utf8() > FOLD_BYTES {
            folded.push_str(line_break);
            folded.push(' ');
            width = 1;
        }
        folded.push(character);
        width += character.len_utf8();
    }
    folded.push_str(line_break);
    folded
}

/// Text as a value (RFC 6350, section 3.4); control characters, which no value has, are left out.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.replace("\r\n", "\n").chars() {
        match character {
            '\\' | ',' | ';' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\n' => escaped.push_str("\\n"),
            character if character.is_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}

/// An address as a value: not escaped (RFC 6350, section 4), and without what no address has.
pub fn address(url: &str) -> String {
    let fits = |c: &char| !c.is_control() && !c.is_whitespace() && *c != '\\';
    url.chars().filter(fits).collect()
}

/// Where `wanted` first stands outside of quotes.
fn outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == wanted && !quoted).then_some(at)
    })
}

/// Split at `separator`, but not inside of quotes.
fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

/// The components of a structured value, still escaped.
pub fn components(value: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut escaped = false;
    for character in value.chars() {
        if character == ';' && !escaped {
            found.push(String::new());
            continue;
        }
        escaped = character == '\\' && !escaped;
        if let Some(last) = found.last_mut() {
            last.push(character);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_as_they_came() {
        let text = "BEGIN:VCARD\r\nVERSION:3.0\r\nitem1.tel;type=\"a;b:c\",x:+49\r\n 30\r\n\r\nNOTE;QUOTED-PRINTABLE:a=\r\nb=3D\r\nnonsense\r\nEND:VCARD\r\n";
        let card = Card::parse(text).unwrap();
        assert_eq!(card.text(), text);
        let tel = card.all("TEL").next().unwrap();
        assert_eq!(tel.group.as_deref(), Some("item1"));
        assert_eq!(tel.value, "+4930");
        assert_eq!(tel.types(), ["A;B:C", "X"]);
        assert_eq!(card.all("NOTE").next().unwrap().value, "ab=3D");
    }

    #[test]
    fn cards_inside_and_behind_are_others() {
        let text = "BEGIN:VCARD\nTEL:1\nBEGIN:VCARD\nTEL:2\nEND:VCARD\nTEL:3\nEND:VCARD\nBEGIN:VCARD\nTEL:4\nEND:VCARD\n";
        let card = Card::parse(text).unwrap();
        let values: Vec<_> = card.all("TEL").map(|line| line.value.as_str()).collect();
        assert_eq!(values, ["1", "3"]);
        assert_eq!(card.text(), text);
        assert!(Card::parse("BEGIN:VCARD\nTEL:1\n").is_none());
        assert!(Card::parse("").is_none());
    }

    #[test]
    fn folds_cut_no_character() {
        let text = format!("NOTE:{}", "ä€😀".repeat(60));
        let folded = fold(&text, "\r\n");
        for physical in folded.trim_end().split("\r\n") {
            assert!(physical.len() <= FOLD_BYTES, "{physical:?}");
        }
        assert_eq!(unfold(&folded), text);
        assert!(folded.ends_with("\r\n"));
    }

    #[test]
    fn components_end_at_semicolons_that_are_none_of_the_text() {
        assert_eq!(components("a\\;b;c\\\\;d"), ["a\\;b", "c\\\\", "d"]);
        assert_eq!(components(""), [""]);
    }
}
