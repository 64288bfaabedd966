//! What a line of a number list means.

use tieline::calls::filter::pattern_matches;
use tieline::terms::party::Party;

use crate::samples::{extension, outside, pattern, special};

#[test]
fn patterns_match_what_is_written() {
    let table = [
        ("+491711234567", "+491711234567", true),
        ("+491711234567", "+4917112345670", false),
        ("+49171*", "+491711234567", true),
        ("+49172*", "+491711234567", false),
        ("+4930555100..+4930555199", "+4930555100", true),
        ("+4930555100..+4930555199", "+4930555199", true),
        ("+4930555100..+4930555199", "+4930555200", false),
        ("+4930555100..+4930555199", "+4930555099", false),
        // A longer number lies between the two as text only.
        ("+4930555100..+4930555199", "+49305551501", false),
        ("100-199", "+4930555100", false),
    ];
    for (written, party, expected) in table {
        let party = outside(party, None);
        assert_eq!(
            pattern_matches(&pattern(written), &party),
            expected,
            "{written}"
        );
    }
    assert!(pattern_matches(&pattern("100-199"), &extension("150")));
    assert!(!pattern_matches(&pattern("100-199"), &extension("1500")));
    let emergency = special(Party::Short("112".to_owned()), "112");
    assert!(pattern_matches(&pattern("112"), &emergency));
    assert!(!pattern_matches(
        &pattern("112"),
        &special(Party::Anonymous, "112")
    ));
}
