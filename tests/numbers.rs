//! Invariant 4: every number comes out as Google's library has it. The `phonenumber` crate's own count stands beside
//! ours, so that one sees when it has caught up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tieline::terms::number::NumberPlan;

/// Names a further file of the fixture's form that is compared as well.
const FURTHER_FILE: &str = "TIELINE_NUMBERS";

#[test]
fn numbers_agree_with_googles_library() {
    let fixture = rows(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/numbers.tsv"
    )));
    let ours = differences(&fixture, |region, raw| {
        NumberPlan::new(region, None)
            .unwrap()
            .parse(raw)
            .ok()
            .map(String::from)
    });
    let theirs = differences(&fixture, phonenumber_crate);
    println!(
        "{} numbers: tieline differs on {}, the phonenumber crate on {}",
        fixture.len(),
        ours.len(),
        theirs.len()
    );
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

#[test]
fn a_further_file_of_numbers_agrees_too() {
    let Some(path) = std::env::var_os(FURTHER_FILE) else {
        return;
    };
    let further = rows(Path::new(&path));
    let ours = differences(&further, |region, raw| {
        NumberPlan::new(region, None)
            .unwrap()
            .parse(raw)
            .ok()
            .map(String::from)
    });
    println!(
        "{} numbers of {FURTHER_FILE}: tieline differs on {}",
        further.len(),
        ours.len()
    );
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

struct Row {
    region: String,
    written: String,
    /// `None` where Google's library says invalid.
    verdict: Option<String>,
}

fn rows(path: &Path) -> Vec<Row> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Row> = text
        .lines()
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [region, written, verdict] => Row {
                region: region.to_owned(),
                written: written.to_owned(),
                verdict: (verdict != "invalid").then(|| verdict.to_owned()),
            },
            _ => panic!(
                "{}: not region, written and verdict: {line:?}",
                path.display()
            ),
        })
        .collect();
    assert!(!rows.is_empty(), "{} has no rows", path.display());
    rows
}

/// The rows, ready to print, whose verdict `parse` doesn't share.
fn differences(rows: &[Row], parse: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    rows.iter()
        .filter_map(|row| {
            let found = parse(&row.region, &row.written);
            (found != row.verdict).then(|| {
                format!(
                    "{} {:?}: Google {:?}, here {found:?}",
                    row.region, row.written, row.verdict
                )
            })
        })
        .collect()
}

fn phonenumber_crate(region: &str, raw: &str) -> Option<String> {
    // It has panicked on input before (RUSTSEC-2023-0082, RUSTSEC-2024-0369): that counts as no number.
    catch_unwind(AssertUnwindSafe(|| {
        let number = phonenumber::parse(region.parse().ok(), raw).ok()?;
        number
            .is_valid()
            .then(|| number.format().mode(phonenumber::Mode::E164).to_string())
    }))
    .ok()
    .flatten()
}
