//! Lists of numbers as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of numbers, here or in a file of its own. A line is a number as people write it, a prefix "+4930555*", a range
/// "+4930555100..+4930555199", an extension "101" or a range of them "100-199".
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NumberList {
    Here(Vec<String>),
    Elsewhere(NumberFile),
}

impl Default for NumberList {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

/// A file with one number or pattern a line; # starts a comment.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NumberFile {
    /// Path, relative to the file that names it.
    #[schemars(required)]
    pub file: Option<String>,
}
