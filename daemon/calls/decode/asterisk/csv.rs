//! CSV as Asterisk writes it: fields in double quotes or bare, a quote inside doubled, line ends inside quotes kept. A
//! backslash is a character like any other: a caller's name with quotes comes as `\""`.

use crate::calls::decode::Malformed;

/// Most fields of one line that are read; no source has more than thirty.
const FIELDS_MAX: usize = 100;

/// The records of a text. Never fails: an open quote runs to the end, as [`check`] tells.
pub fn records(text: &str) -> Vec<Vec<String>> {
    lines(text).into_iter().map(fields).collect()
}

/// Where each record is: line ends inside quotes don't end one. Empty lines are left out.
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = line_end(rest);
        let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = behind.strip_prefix('\n').unwrap_or(behind);
        let line = line.trim_end_matches('\r');
        if !line.trim().is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// The offset of the line end that ends the first record.
fn line_end(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => {
                fields.push(std::mem::take(&mut field));
                if fields.len() >= FIELDS_MAX {
                    return fields;
                }
            }
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// Whether every quote is closed.
pub fn check(text: &str) -> Result<(), Malformed> {
    let quotes = text.bytes().filter(|byte| *byte == b'"').count();
    if quotes % 2 == 0 {
        Ok(())
    } else {
        Err(Malformed::Csv)
    }
}

/// The fields of the first record.
pub fn first(text: &str) -> Option<Vec<String>> {
    let line = text.get(..line_end(text))?.trim_end_matches('\r');
    Some(fields(line))
}
