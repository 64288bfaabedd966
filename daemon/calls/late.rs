//! Facts that come after a call was logged (a recording, a voicemail, tags, an agent's note): what the note should say
//! then, without touching what people wrote into it. Pure; `judge` and `log` ask it.

use super::note::{NOTE_UNITS_MAX, clip};
use crate::terms::call::Call;

/// Whether the phone system announced something of this call that hasn't come yet.
pub fn is_awaited(call: &Call) -> bool {
    let recording = call.recording_announced && call.recording.is_none();
    let voicemail = call.voicemail && call.voicemail_link.is_none();
    recording || voicemail
}

/// The note's new text. `current` is what stands in Kustomer, `written` what we wrote there last, `new` what we would
/// write now. Our part is replaced where it stands unchanged; what people wrote around it stays. If they changed our
/// part itself it is theirs: only the lines that are new go to the end.
pub fn amended(current: &str, written: &str, new: &str) -> String {
    let (written, new) = (written.trim(), new.trim());
    if let Some((before, after)) = current.split_once(written)
        && !written.is_empty()
    {
        return clip(&format!("{before}{new}{after}"), NOTE_UNITS_MAX);
    }
    let mut text = current.trim_end().to_owned();
    for line in new.lines().filter(|line| !line.trim().is_empty()) {
        let known = written.lines().chain(current.lines());
        if !known.map(str::trim).any(|known| known == line.trim()) {
            text.push('\n');
            text.push_str(line);
        }
    }
    if text.len() == current.trim_end().len() {
        return current.to_owned();
    }
    clip(&text, NOTE_UNITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_part_is_replaced_and_what_people_wrote_stays() {
        let (old, new) = (
            "Missed call\nCall: hq:a1",
            "Missed call\nRecording: r\nCall: hq:a1",
        );
        for (current, expected) in [
            (old, new.to_owned()),
            ("Missed call\nCall: hq:a1\n", format!("{new}\n")),
            (
                "Called back.\n\nMissed call\nCall: hq:a1\n\nGrace",
                format!("Called back.\n\n{new}\n\nGrace"),
            ),
            // Written already (an update whose reply was lost), with the old text inside it or not.
            (new, new.to_owned()),
            // Our part was edited: it is theirs now, the new line goes to the end.
            (
                "Spam call\nCall: hq:a1",
                "Spam call\nCall: hq:a1\nRecording: r".to_owned(),
            ),
            ("", "\nRecording: r".to_owned()),
        ] {
            assert_eq!(amended(current, old, new), expected, "{current:?}");
            // A second time changes nothing more.
            let once = amended(current, old, new);
            assert_eq!(amended(&once, new, new), once, "{current:?}");
        }
    }

    #[test]
    fn a_text_that_is_already_there_is_not_written_again() {
        let edited = "Spam call\nRecording: r";
        assert_eq!(
            amended(edited, "Missed call", "Missed call\nRecording: r"),
            edited
        );
    }
}
