//! E.164 numbers: placeholder until the number engine lands.

/// A number in E.164.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(String);

impl E164 {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for E164 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where numbers without + are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPlan {
    pub region: String,
    pub area_code: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no number")]
pub struct NumberFault;

impl NumberPlan {
    pub fn new(region: &str, area_code: Option<&str>) -> Result<Self, NumberFault> {
        Ok(Self { region: region.to_owned(), area_code: area_code.map(str::to_owned) })
    }

    pub fn parse(&self, raw: &str) -> Result<E164, NumberFault> {
        if raw.starts_with('+') { Ok(E164(raw.to_owned())) } else { Err(NumberFault) }
    }
}
