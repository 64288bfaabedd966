//! What a line of a number list means.

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
        assert_eq!(pattern(written).matches(&party), expected, "{written}");
    }
    assert!(pattern("100-199").matches(&extension("150")));
    assert!(!pattern("100-199").matches(&extension("1500")));
    let emergency = special(Party::Short("112".to_owned()), "112");
    assert!(pattern("112").matches(&emergency));
    assert!(!pattern("112").matches(&special(Party::Anonymous, "112")));
}
