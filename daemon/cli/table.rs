//! Plain tables for people: columns as wide as their widest cell, the last one free.

use std::io::{self, Write};

/// Writes head and rows, two spaces between columns. Width is counted in characters.
pub fn write(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(out, &widths, head.iter().copied())?;
    for row in rows {
        line(out, &widths, row.iter().map(String::as_str))?;
    }
    Ok(())
}

fn line<'a>(
    out: &mut dyn Write,
    widths: &[usize],
    cells: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let mut text = String::new();
    for (cell, width) in cells.zip(widths) {
        let pad = width.saturating_sub(cell.chars().count());
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', pad + 2));
    }
    writeln!(out, "{}", text.trim_end())
}
