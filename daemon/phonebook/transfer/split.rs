//! Cuts a file that comes in pieces into its records: rows of a CSV file, cards of a vCard file. Holds one record at a
//! time, so that a file may be as large as it likes. Pure. Used by `transfer/`.

use super::Format;
use std::collections::VecDeque;

/// A longer row is no contact.
const ROW_BYTES_MAX: usize = 64 * 1024;
/// Cards have photos in them; those of phones are some 100 KB.
const CARD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What ends a card, and how much of a line is looked at for it.
const CARD_END: &[u8] = b"END:VCARD";
const LINE_BYTES_SEEN: usize = 64;

/// What was cut off, with the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Record {
        line: u64,
        bytes: Vec<u8>,
    },
    /// Its bytes are thrown away.
    TooLong {
        line: u64,
        max: usize,
    },
}

/// The cutter.
#[derive(Debug)]
pub struct Splitter {
    format: Format,
    record: Vec<u8>,
    /// The beginning of the current line.
    seen: Vec<u8>,
    line: u64,
    began: u64,
    quoted: bool,
    over: bool,
    ready: VecDeque<Piece>,
}

impl Splitter {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            record: Vec::new(),
            seen: Vec::new(),
            line: 1,
            began: 1,
            quoted: false,
            over: false,
            ready: VecDeque::new(),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.byte(*byte));
    }

    /// The last record needs no line end.
    pub fn end(&mut self) {
        if self.over || !self.record.trim_ascii().is_empty() {
            self.finish();
        }
    }

    pub fn next(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    const fn max(&self) -> usize {
        match self.format {
            Format::Csv => ROW_BYTES_MAX,
            Format::Vcard => CARD_BYTES_MAX,
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.seen.len() < LINE_BYTES_SEEN {
            self.seen.push(byte);
        }
        if !self.over {
            self.record.push(byte);
            // Quotes that are doubled inside a quoted cell end and begin it again.
            self.quoted ^= byte == b'"' && self.format == Format::Csv;
            if self.record.len() > self.max() {
                self.over = true;
                self.quoted = false;
                self.record = Vec::new();
            }
        }
        if byte == b'\n' {
            self.line_end();
        }
    }

    fn line_end(&mut self) {
        self.line = self.line.saturating_add(1);
        let ends = match self.format {
            Format::Csv => !self.quoted,
            // A line that begins with a blank goes on with the one before, whatever it says (RFC 2425, section 5.8.1).
            Format::Vcard => self.seen.trim_ascii_end().eq_ignore_ascii_case(CARD_END),
        };
        self.seen.clear();
        if !self.over && self.record.trim_ascii().is_empty() {
            self.record.clear();
            self.began = self.line;
        } else if ends {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let (line, max) = (self.began, self.max());
        let bytes = std::mem::take(&mut self.record);
        self.ready.push_back(if self.over {
            Piece::TooLong { line, max }
        } else {
            Piece::Record { line, bytes }
        });
        self.over = false;
        self.quoted = false;
        self.began = self.line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(format: Format, text: &str, size: usize) -> Vec<(u64, String)> {
        let mut splitter = Splitter::new(format);
        text.as_bytes()
            .chunks(size)
            .for_each(|chunk| splitter.push(chunk));
        splitter.end();
        std::iter::from_fn(|| splitter.next())
            .map(|piece| match piece {
                Piece::Record { line, bytes } => (line, String::from_utf8(bytes).unwrap()),
                Piece::TooLong { line, max } => (line, format!("over {max}")),
            })
            .collect()
    }

    #[test]
    fn a_folded_line_that_reads_like_the_end_is_none() {
        let card = "BEGIN:VCARD\nFN:A\nADR:;;\n END:VCARD\nEND:VCARD\n";
        assert_eq!(cut(Format::Vcard, card, 7), [(1, card.to_owned())]);
    }

    #[test]
    fn records_are_found_wherever_the_pieces_end() {
        let csv = "name,phone\r\n\r\n\"A\nB\",1\n\"say \"\"x\"\"\",2";
        let long = format!("a\n{}\nb\n", "x".repeat(ROW_BYTES_MAX));
        let cards = "\nBEGIN:VCARD\nFN:A\nend:vcard \n\nBEGIN:VCARD\nFN:B\nEND:VCARD";
        for size in [1, 2, 7, 4096] {
            assert_eq!(
                cut(Format::Csv, csv, size),
                [
                    (1, "name,phone\r\n".to_owned()),
                    (3, "\"A\nB\",1\n".to_owned()),
                    (5, "\"say \"\"x\"\"\",2".to_owned()),
                ]
            );
            assert_eq!(
                cut(Format::Csv, &long, size),
                [
                    (1, "a\n".to_owned()),
                    (2, format!("over {ROW_BYTES_MAX}")),
                    (3, "b\n".to_owned()),
                ]
            );
            assert_eq!(
                cut(Format::Vcard, cards, size),
                [
                    (2, "BEGIN:VCARD\nFN:A\nend:vcard \n".to_owned()),
                    (6, "BEGIN:VCARD\nFN:B\nEND:VCARD".to_owned()),
                ]
            );
        }
    }
}
