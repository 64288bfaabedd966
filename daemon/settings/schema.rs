//! The JSON schema of the settings, for editors (config/tieline.schema.json) and for `shape.rs`: made from `file.rs`,
//! with the defaults of `[daemon]` from the embedded layer.

use super::file::File;
use super::load::DEFAULTS;
use serde_json::{Map, Value};

/// The schema, with a description for every key and a default for each that has one.
pub fn schema() -> Value {
    let mut root = Value::from(schemars::schema_for!(File));
    let defaults: Option<Map<String, Value>> = toml::from_str(DEFAULTS).ok();
    let daemon = defaults.and_then(|mut all| all.remove("daemon"));
    for (definition, pointer) in [("DaemonFile", ""), ("IntakeFile", "/intake")] {
        let values = daemon
            .as_ref()
            .and_then(|daemon| daemon.pointer(pointer))
            .and_then(Value::as_object);
        let properties = root
            .pointer_mut(&format!("/$defs/{definition}/properties"))
            .and_then(Value::as_object_mut);
        let (Some(values), Some(properties)) = (values, properties) else {
            continue;
        };
        for (key, value) in values.iter().filter(|(_, value)| !value.is_object()) {
            if let Some(property) = properties.get_mut(key).and_then(Value::as_object_mut) {
                property.insert("default".to_owned(), value.clone());
            }
        }
    }
    root
}
