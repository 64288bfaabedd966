//! Phone numbers: [`E164`], the one type for a number past `decode`, and [`NumberPlan`], the only way to make one from
//! what a person or a phone system wrote.
//!
//! `rlibphonenumber` decides and its verdict is Google's library's (docs/architecture.md, invariant 4; held row by row
//! in tests/numbers.rs). The library's tables are one static, built on first use; its patterns are compiled as met.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, Region};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest text, in characters, that is looked at as a number: the limit of Google's library, which keeps its patterns
/// away from text that is no number.
pub const RAW_CHARS_MAX: usize = 250;

/// Digits of a stored number, without the plus: Google's bounds for the national part (2 to 17) and a calling code of 1
/// to 3. More than E.164's 15, because some German and Austrian numbers that are in use have more.
pub const E164_DIGITS_MIN: usize = 3;
/// See [`E164_DIGITS_MIN`].
pub const E164_DIGITS_MAX: usize = 20;

/// Longest area code, in digits: Germany's and the United Kingdom's have five after the national prefix's one.
pub const AREA_CODE_DIGITS_MAX: usize = 6;

/// Digits of a number that an area code is put in front of. What is shorter is an extension, an emergency or a service
/// number, and must not turn into somebody's line; what is longer has its area code already.
pub const LOCAL_DIGITS_MIN: usize = 5;
/// See [`LOCAL_DIGITS_MIN`].
pub const LOCAL_DIGITS_MAX: usize = 8;

/// Fewest digits of a number in international form that may come without its plus; a shorter one may as well be a
/// national number.
pub const INTERNATIONAL_DIGITS_MIN: usize = 11;

/// A valid phone number in international form: a plus, the calling code, the national number (`+4930123456`).
///
/// Made by [`NumberPlan::parse`]. `FromStr` and serde re-read what was stored and check its shape alone, so that a
/// number that was valid when it was stored stays readable after its numbering plan has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(String);

impl E164 {
    /// The number with its plus.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The calling code and the last two digits (`+49…67`): what a log may show.
    pub fn masked(&self) -> String {
        let digits = self.0.trim_start_matches('+');
        let tail = digits
            .get(digits.len().saturating_sub(2)..)
            .unwrap_or_default();
        // Calling codes are prefix-free, so the first length that is one is the right one.
        let code = (1..=3)
            .filter_map(|length| digits.get(..length))
            .find(|code| is_calling_code(code))
            .unwrap_or_default();
        format!("+{code}…{tail}")
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for E164 {
    type Err = NumberFault;

    fn from_str(stored: &str) -> Result<Self, NumberFault> {
        Self::try_from(stored.to_owned())
    }
}

impl TryFrom<String> for E164 {
    type Error = NumberFault;

    fn try_from(stored: String) -> Result<Self, NumberFault> {
        let digits = stored.strip_prefix('+').ok_or(NumberFault::NotE164)?;
        let shaped = (E164_DIGITS_MIN..=E164_DIGITS_MAX).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if shaped {
            Ok(Self(stored))
        } else {
            Err(NumberFault::NotE164)
        }
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0
    }
}

/// How numbers are written where the phone system stands: its region, and the area code of local numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberPlan {
    region: Region,
    /// The region's, in digits.
    calling_code: String,
    /// Plus, calling code and area code: what a local number lacks.
    local_prefix: Option<String>,
    verdicts: Verdicts,
}

/// Most verdicts that a plan remembers, of some 100 bytes each: both numbers of ten thousand calls. With more, it begins
/// anew.
const VERDICTS_MAX: usize = 20_000;

/// Longest text whose verdict is remembered: numbers with blanks, and most SIP addresses.
const VERDICT_BYTES_MAX: usize = 64;

/// What signalled numbers turned out to be. Each event of a call repeats its numbers, and the library takes as long for one
/// as everything else takes for ten events. Only saves time: what is asked again is answered the same.
#[derive(Clone, Default)]
struct Verdicts(Arc<Mutex<HashMap<String, Result<E164, NumberFault>>>>);

impl Verdicts {
    fn of(
        &self,
        raw: &str,
        ask: impl FnOnce() -> Result<E164, NumberFault>,
    ) -> Result<E164, NumberFault> {
        if raw.len() > VERDICT_BYTES_MAX {
            return ask();
        }
        // Nothing below panics half-way through a change, so a poisoned lock still holds a whole map.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = lock().get(raw) {
            return verdict.clone();
        }
        let verdict = ask();
        let mut known = lock();
        if known.len() >= VERDICTS_MAX {
            known.clear();
        }
        known.insert(raw.to_owned(), verdict.clone());
        verdict
    }
}

/// Says nothing: they are somebody's numbers.
impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verdicts")
    }
}

/// What a plan remembers makes no other plan of it.
impl PartialEq for Verdicts {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Verdicts {}

impl NumberPlan {
    /// `region` is an ISO 3166 code such as `DE`; `area_code` is written with or without the national prefix (`211` or
    /// `0211`), but whole where there is none (`06` in Italy).
    pub fn new(region: &str, area_code: Option<&str>) -> Result<Self, NumberPlanFault> {
        let unknown = || NumberPlanFault::Region(region.to_owned());
        // Exactly as ISO writes it: the library would also read `de`, and `001` as the whole world.
        if !region.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(unknown());
        }
        let known = Region::from_code(region).map_err(|_| unknown())?;
        let calling_code = PHONE_NUMBER_UTIL
            .get_country_code_for_region(known)
            .ok_or_else(unknown)?;
        let local_prefix = match area_code {
            None => None,
            Some(area) => {
                let shaped = area.len() <= AREA_CODE_DIGITS_MAX
                    && area.bytes().all(|byte| byte.is_ascii_digit())
                    && area.bytes().any(|byte| byte != b'0');
                if !shaped {
                    return Err(NumberPlanFault::AreaCode(area.to_owned()));
                }
                Some(format!("+{calling_code}{area}"))
            }
        };
        Ok(Self {
            region: known,
            calling_code: calling_code.to_string(),
            local_prefix,
            verdicts: Verdicts::default(),
        })
    }

    /// The number in `raw`, as Google's library sees it for this region: `+`, `00` or whatever the region dials abroad
    /// with, `tel:` URIs, digits of any script, and letters as keypads have them (`0800 FLOWERS`).
    ///
    /// Where the plan has an area code, what can be a local number is one: Google's library takes seven of eight German
    /// local numbers for numbers of another town whose leading zero was left out.
    pub fn parse(&self, raw: &str) -> Result<E164, NumberFault> {
        self.completed(raw)
            .and_then(|full| self.verdict(&full).ok())
            .map_or_else(|| self.verdict(raw), Ok)
    }

    /// The number that a phone system signalled: as [`NumberPlan::parse`], but `sip:` and `sips:` URIs stand for their
    /// user part, and letters are refused: a phone system writes a name or a login where Google would dial a keypad.
    /// Trunks leave the plus out (`491711234567`): long digits that begin with the region's calling code are read so.
    pub fn parse_signalled(&self, raw: &str) -> Result<E164, NumberFault> {
        self.verdicts.of(raw, || self.signalled(raw))
    }

    fn signalled(&self, raw: &str) -> Result<E164, NumberFault> {
        let trimmed = raw.trim();
        let number = match without_scheme(trimmed, &["sip:", "sips:"]) {
            Some(address) => address.split(['@', ';', '?']).next().unwrap_or_default(),
            None => trimmed,
        };
        let dialled = without_scheme(number, &["tel:"]).unwrap_or(number);
        let without_parameters = dialled.split(';').next().unwrap_or_default();
        if without_parameters.chars().any(char::is_alphabetic) {
            return Err(NumberFault::Letters);
        }
        self.without_plus(number)
            .map_or_else(|| self.parse(number), Ok)
    }

    /// The number that a trunk sent in international form without its plus. Nobody dials so many digits within the
    /// region without a zero in front.
    fn without_plus(&self, raw: &str) -> Option<E164> {
        let digits = raw.trim();
        let shaped = digits.len() >= INTERNATIONAL_DIGITS_MIN
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.starts_with(&self.calling_code);
        if shaped {
            self.verdict(&format!("+{digits}")).ok()
        } else {
            None
        }
    }

    /// Google's verdict alone, without the area code.
    fn verdict(&self, raw: &str) -> Result<E164, NumberFault> {
        if raw.trim().is_empty() {
            return Err(NumberFault::Empty);
        }
        if raw.chars().nth(RAW_CHARS_MAX).is_some() {
            return Err(NumberFault::Long);
        }
        if context_before_number(raw) {
            return Err(NumberFault::NotANumber);
        }
        let number = PHONE_NUMBER_UTIL
            .parse(raw, Some(self.region))
            .map_err(NumberFault::from)?;
        if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
            return Err(NumberFault::NotAssigned);
        }
        E164::try_from(
            PHONE_NUMBER_UTIL
                .format(&number, PhoneNumberFormat::E164)
                .into_owned(),
        )
    }

    /// `raw` with the area code in front, if it can be a local number.
    fn completed(&self, raw: &str) -> Option<String> {
        let prefix = self.local_prefix.as_deref()?;
        let local = raw.trim();
        // Local numbers begin with 2 to 9 in every plan that has area codes: 0 and 1 lead out of the area, or to short
        // numbers such as 112 and 116117.
        let digits = local.chars().filter(char::is_ascii_digit).count();
        let dialled = local.starts_with(|first: char| matches!(first, '2'..='9'))
            && local
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '/'))
            && (LOCAL_DIGITS_MIN..=LOCAL_DIGITS_MAX).contains(&digits);
        dialled.then(|| format!("{prefix} {local}"))
    }
}

/// Why a plan can't be made from the settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NumberPlanFault {
    /// The operator's: not a region that has phone numbers.
    #[error(
        "{0:?} is not a region that has phone numbers: write its two capital letters, such as \"DE\" or \"US\""
    )]
    Region(String),
    /// The operator's: not an area code.
    #[error("{0:?} is not an area code: write 1 to {AREA_CODE_DIGITS_MAX} digits, such as \"211\"")]
    AreaCode(String),
}

/// Why a text is no phone number. The text itself is not repeated: it may be somebody's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NumberFault {
    /// Nothing but white space.
    #[error("no number is given: the text is empty")]
    Empty,
    /// Over [`RAW_CHARS_MAX`].
    #[error("the text is longer than any number: over {RAW_CHARS_MAX} characters")]
    Long,
    /// Letters where a phone system's number was expected.
    #[error(
        "the text has letters: a phone system's number has digits, with + in front if it is international"
    )]
    Letters,
    /// Not written as a number.
    #[error("the text is not written as a number: digits, with + in front if it is international")]
    NotANumber,
    /// The digits after the plus begin no country.
    #[error("no country has the calling code that the number begins with")]
    CallingCode,
    /// Fewer digits than any number.
    #[error("the number has too few digits")]
    TooShort,
    /// More digits than any number.
    #[error("the number has too many digits")]
    TooLong,
    /// Written as a number, but in nobody's numbering plan.
    #[error(
        "no such number can exist: its length or its first digits are not in use in its country"
    )]
    NotAssigned,
    /// A stored value that isn't one of ours.
    #[error(
        "not a number in international form: a + and {E164_DIGITS_MIN} to {E164_DIGITS_MAX} digits, nothing else"
    )]
    NotE164,
}

impl From<ParseError> for NumberFault {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::InvalidCountryCode => Self::CallingCode,
            ParseError::NotANumber(_) => Self::NotANumber,
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => Self::TooShort,
            ParseError::TooLongNsn => Self::TooLong,
        }
    }
}

fn is_calling_code(digits: &str) -> bool {
    digits.parse().is_ok_and(|code| {
        PHONE_NUMBER_UTIL
            .get_region_for_country_code(code)
            .is_some()
    })
}

/// What follows one of `schemes`, whatever their case.
fn without_scheme<'a>(uri: &'a str, schemes: &[&str]) -> Option<&'a str> {
    schemes.iter().find_map(|scheme| {
        let (head, rest) = uri.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Whether a `;phone-context=` stands before the `tel:` that it belongs to. The library (2.2.15) would slice backwards
/// there and panic; Google's throws.
fn context_before_number(raw: &str) -> bool {
    match (raw.find(";phone-context="), raw.find("tel:")) {
        (Some(context), Some(scheme)) => context < scheme + "tel:".len(),
        _ => false,
    }
}
