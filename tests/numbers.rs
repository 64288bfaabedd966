//! Invariant 4: every number comes out as Google's library has it. The `phonenumber` crate's own count stands beside
//! ours, so that one sees when it has caught up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;
use tieline::terms::number::{E164, NumberFault, NumberPlan, NumberPlanFault, RAW_CHARS_MAX};

/// Names a further file of the fixture's form that is compared as well.
const FURTHER_FILE: &str = "TIELINE_NUMBERS";

#[test]
fn numbers_agree_with_googles_library() {
    compare(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/numbers.tsv"
    )));
}

#[test]
fn a_further_file_of_numbers_agrees_too() {
    if let Some(path) = std::env::var_os(FURTHER_FILE) {
        compare(Path::new(&path));
    }
}

fn compare(path: &Path) {
    let rows = rows(path);
    let ours = differences(&rows, tieline);
    let theirs = differences(&rows, phonenumber_crate);
    println!(
        "{}: {} numbers, tieline differs from Google on {}, the phonenumber crate on {}",
        path.display(),
        rows.len(),
        ours.len(),
        theirs.len()
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
fn differences(rows: &[Row], parse: fn(&str, &str) -> Option<String>) -> Vec<String> {
    rows.iter()
        .filter_map(|row| {
            let (region, written, verdict) = (&row.region, &row.written, &row.verdict);
            let found = parse(region, written);
            (found != *verdict)
                .then(|| format!("{region} {written:?}: Google {verdict:?}, here {found:?}"))
        })
        .collect()
}

fn tieline(region: &str, raw: &str) -> Option<String> {
    let plan = NumberPlan::new(region, None).unwrap();
    plan.parse(raw).ok().map(String::from)
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

fn plan(region: &str, area_code: Option<&str>) -> NumberPlan {
    NumberPlan::new(region, area_code).unwrap()
}

fn parsed(region: &str, raw: &str) -> Option<String> {
    plan(region, None).parse(raw).ok().map(String::from)
}

#[test]
fn numbers_as_people_write_them() {
    let table = [
        ("DE", "0171 1234567", Some("+491711234567")),
        ("DE", "+49 (0) 171 1234567", Some("+491711234567")),
        ("DE", "0049 171 1234567", Some("+491711234567")),
        ("DE", "tel:+49-171-1234567", Some("+491711234567")),
        (
            "DE",
            "tel:0171-1234567;phone-context=+49",
            Some("+491711234567"),
        ),
        ("US", "011 49 171 1234567", Some("+491711234567")),
        ("US", "(650) 253-0000", Some("+16502530000")),
        ("US", "+33142764978", Some("+33142764978")),
        ("RU", "+78005553535", Some("+78005553535")),
        ("IT", "06 69812345", Some("+390669812345")),
        ("GB", "٠٢٠ ٧٠٣١ ٣٠٠٠", Some("+442070313000")),
        // Google dials letters as a keypad would.
        ("US", "1-800-FLOWERS", Some("+18003569377")),
        ("DE", "anonymous", None),
        ("DE", "112", None),
        ("DE", "", None),
        ("DE", "+", None),
        ("DE", "sip:+491711234567@pbx.example", None),
    ];
    for (region, raw, expected) in table {
        assert_eq!(
            parsed(region, raw).as_deref(),
            expected,
            "{raw:?} in {region}"
        );
    }
}

#[test]
fn a_signalled_number_may_be_a_sip_address_and_has_no_letters() {
    let plan = plan("DE", None);
    for raw in [
        "sip:+491711234567@pbx.example",
        "SIP:01711234567@10.0.0.1:5060;user=phone",
        "sips:+491711234567;npdi@pbx.example",
        " +49 171 1234567 ",
        "tel:+49-171-1234567",
        "TEL:0171-1234567",
    ] {
        assert_eq!(
            plan.parse_signalled(raw).as_ref().map(E164::as_str),
            Ok("+491711234567"),
            "{raw}"
        );
    }
    for raw in [
        "0800 FLOWERS",
        "agent 01711234567",
        "sip:grace@pbx.example",
        "01711234567x",
    ] {
        assert_eq!(
            plan.parse_signalled(raw),
            Err(NumberFault::Letters),
            "{raw}"
        );
    }
    assert_eq!(
        plan.parse_signalled("sip:@pbx.example"),
        Err(NumberFault::Empty)
    );
}

#[test]
fn a_trunk_may_leave_out_the_plus() {
    for (region, area, raw, expected) in [
        ("DE", Some("211"), "491711234567", Some("+491711234567")),
        ("DE", None, "4921155500100", Some("+4921155500100")),
        // Within the region with a zero in front, and of another one with its plus alone.
        ("DE", None, "0491711234567", Some("+49491711234567")),
        ("US", None, "13125551234", Some("+13125551234")),
        ("CN", None, "15012345678", Some("+8615012345678")),
        ("CN", None, "8615012345678", Some("+8615012345678")),
        ("BR", None, "55991234567", Some("+5555991234567")),
        ("BR", None, "5511987654321", Some("+5511987654321")),
    ] {
        let number = plan(region, area).parse_signalled(raw).ok();
        assert_eq!(
            number.as_ref().map(E164::as_str),
            expected,
            "{region} {raw}"
        );
    }
}

#[test]
fn the_area_code_completes_local_numbers_only() {
    let table = [
        ("DE", "211", "5550123", Some("+492115550123")),
        ("DE", "0211", "555-01 23", Some("+492115550123")),
        ("US", "650", "253-0000", Some("+16502530000")),
        ("IT", "06", "69812345", Some("+390669812345")),
        // National and international numbers stay what they are.
        ("DE", "211", "030 123456", Some("+4930123456")),
        ("DE", "211", "+49 30 123456", Some("+4930123456")),
        ("DE", "211", "171 1234567", Some("+491711234567")),
        ("US", "650", "2125550123", Some("+12125550123")),
        // Extensions, emergency and service numbers are nobody's line.
        ("DE", "211", "101", None),
        ("DE", "211", "112", None),
        ("DE", "211", "116117", None),
        ("US", "650", "911", None),
    ];
    for (region, area_code, raw, expected) in table {
        let number = plan(region, Some(area_code))
            .parse(raw)
            .ok()
            .map(String::from);
        assert_eq!(
            number.as_deref(),
            expected,
            "{raw:?} in {region} {area_code}"
        );
    }
}

#[test]
fn a_plan_names_what_is_wrong_with_it() {
    for region in ["", "D", "de", "DEU", "ZZ", "001", "Ä", "+4"] {
        assert_eq!(
            NumberPlan::new(region, None),
            Err(NumberPlanFault::Region(region.into()))
        );
    }
    for area_code in ["", "0", "2a", "+49", "2112112", "٢"] {
        assert_eq!(
            NumberPlan::new("DE", Some(area_code)),
            Err(NumberPlanFault::AreaCode(area_code.into()))
        );
    }
}

#[test]
fn faults_say_what_is_wrong() {
    let plan = plan("DE", None);
    let table = [
        (" \t", NumberFault::Empty),
        ("hello", NumberFault::NotANumber),
        ("+999 123456", NumberFault::CallingCode),
        ("+49 1", NumberFault::TooShort),
        ("+49 171 1234567 1234567 1234567", NumberFault::TooLong),
        ("+49 171 12", NumberFault::NotAssigned),
        (";phone-context=+49tel:0171", NumberFault::NotANumber),
        ("te;phone-context=tel:1", NumberFault::NotANumber),
    ];
    for (raw, expected) in table {
        assert_eq!(plan.parse(raw), Err(expected), "{raw:?}");
    }
    assert_eq!(
        plan.parse(&"1".repeat(RAW_CHARS_MAX + 1)),
        Err(NumberFault::Long)
    );
}

#[test]
fn a_masked_number_shows_the_country_and_two_digits() {
    for (number, masked) in [
        ("+491711234567", "+49…67"),
        ("+16502530000", "+1…00"),
        ("+35312345678", "+353…78"),
        ("+80012345678", "+800…78"),
        ("+99912345678", "+…78"),
    ] {
        assert_eq!(number.parse::<E164>().unwrap().masked(), masked);
    }
}

#[test]
fn stored_numbers_are_read_by_shape_alone() {
    for bad in [
        "",
        "+",
        "49171",
        "+0171",
        "+49 171",
        "+49a71",
        "+12",
        "+123456789012345678901",
    ] {
        assert_eq!(bad.parse::<E164>(), Err(NumberFault::NotE164), "{bad:?}");
        assert!(
            serde_json::from_value::<E164>(bad.into()).is_err(),
            "{bad:?}"
        );
    }
    let number: E164 = serde_json::from_str("\"+4917112\"").unwrap();
    assert_eq!(serde_json::to_string(&number).unwrap(), "\"+4917112\"");
}

/// Pieces that the library's grammar reacts to, in any order, with any text between.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,6}",
        "[0-9 ()/+.-]{0,12}",
        prop::sample::select(vec![
            "tel:",
            ";phone-context=",
            ";isub=",
            ";ext=",
            "sip:",
            "@",
            "+",
            "00",
            "011",
            "٣",
            "＋",
            "x",
            "#",
            "*",
            "~",
            "\u{0}",
            "\u{200b}",
            "\u{a0}",
            " ext. ",
            "/x",
            "\\",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(raw in hostile(), region in prop::sample::select(vec!["DE", "US", "IT", "BR", "AR"])) {
        let plan = NumberPlan::new(region, Some("11")).unwrap();
        for number in [plan.parse(&raw), plan.parse_signalled(&raw)].into_iter().flatten() {
            // What was made is what is read back, and is itself written as a number.
            prop_assert_eq!(number.as_str().parse(), Ok(number.clone()));
            prop_assert_eq!(plan.parse(number.as_str()), Ok(number));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let raw = String::from_utf8_lossy(&bytes);
        let _ = NumberPlan::new(&raw, Some(&raw));
        let _ = plan("DE", None).parse(&raw);
        if let Ok(number) = raw.parse::<E164>() {
            let _ = number.masked();
        }
    }
}
