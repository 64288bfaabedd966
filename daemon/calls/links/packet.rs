//! Packets of the manager interface: `Key: Value` lines and an empty one. Pure but for the wire it takes lines from.

use super::wire::{Line, Wire};
use bytes::{Bytes, BytesMut};

/// Most lines of one packet; the longest event, an attended transfer, has about eighty, and the decoder reads 500.
const PACKET_LINES_MAX: usize = 500;

/// Most bytes of one packet: an ordinary event has 600, one of a channel with long names some thousand.
const PACKET_BYTES_MAX: usize = 128 * 1024;

/// A packet in the making.
#[derive(Default)]
pub struct Packets {
    lines: usize,
    bytes: BytesMut,
    /// A limit was passed: the rest of the packet is read and forgotten.
    spoiled: bool,
}

/// What a look for a packet found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// With the empty line at its end, as it came.
    Packet(Bytes),
    Oversized,
    Open,
}

impl Packets {
    /// Takes the next packet out of what was read.
    pub fn next(&mut self, wire: &mut Wire) -> Found {
        loop {
            let line = match wire.line() {
                Line::Open => return Found::Open,
                Line::Oversized => {
                    self.spoiled = true;
                    continue;
                }
                Line::Whole(line) => line,
            };
            let empty = line.trim_ascii().is_empty();
            if empty && self.bytes.is_empty() && !self.spoiled {
                continue;
            }
            self.lines += 1;
            if self.lines > PACKET_LINES_MAX || self.bytes.len() + line.len() > PACKET_BYTES_MAX {
                self.spoiled = true;
            }
            if !self.spoiled {
                self.bytes.extend_from_slice(&line);
            }
            if empty {
                let whole = std::mem::take(self);
                return if whole.spoiled {
                    Found::Oversized
                } else {
                    Found::Packet(whole.bytes.freeze())
                };
            }
        }
    }
}

/// The value of a key, whose case doesn't matter.
pub fn value<'a>(packet: &'a str, key: &str) -> Option<&'a str> {
    packet.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(key).then(|| value.trim())
    })
}
