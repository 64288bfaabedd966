//! What an editor makes of the settings with config/tieline.schema.json: the examples are right, an unknown key isn't. Judged
//! by another reader of schemas than ours.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tieline::settings::load::DEFAULTS;

/// Prints, for each file named, a line for each fault, and how many tables got a key that the schema doesn't know and were
/// refused for it.
const EDITOR: &str = r#"
import json, sys, tomllib
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
editor = Draft202012Validator(schema)
names = {"agents", "labels", "custom", "queues"}
def tables(value, key=None):
    if isinstance(value, dict):
        if key not in names:
            yield value
        for inner, one in value.items():
            yield from tables(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from tables(one, key)
for file in sys.argv[2:]:
    settings = tomllib.load(open(file, "rb"))
    for fault in editor.iter_errors(settings):
        print(file, fault.json_path, fault.message)
    refused = 0
    for table in tables(settings):
        table["actve"] = True
        if editor.is_valid(settings):
            print(file, "takes an unknown key in", sorted(table))
        del table["actve"]
        refused += 1
    print(file, refused, "tables")
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the editor says.
fn read(files: &[PathBuf]) -> Vec<String> {
    let mut editor = Command::new("/usr/bin/python3")
        .args(["-", "config/tieline.schema.json"])
        .args(files)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    editor
        .stdin
        .take()
        .unwrap()
        .write_all(EDITOR.as_bytes())
        .unwrap();
    let said = editor.wait_with_output().unwrap();
    assert!(
        said.status.success(),
        "tests/setup.sh installs what is missing: {said:?}"
    );
    String::from_utf8(said.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_editor_takes_the_examples_and_no_unknown_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("config/examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        assert!(
            text.starts_with("#:schema ../tieline.schema.json\n"),
            "{file:?}"
        );
    }
    assert!(DEFAULTS.starts_with("#:schema tieline.schema.json\n"));
    files.push(root().join("config/tieline.toml"));
    let said = read(&files);
    assert_eq!(said.len(), files.len(), "{said:#?}");
    assert!(
        said.iter().all(|line| line.ends_with(" tables")),
        "{said:#?}"
    );
    assert!(
        said.iter()
            .any(|line| line.ends_with("two-integrations.toml 13 tables")),
        "{said:#?}"
    );
    // It isn't blind.
    let wrong = folder.path().join("wrong.toml");
    fs::write(
        &wrong,
        "[daemon]\nlisten = 1\n[[pbx]]\ndialect = \"pstn\"\n",
    )
    .unwrap();
    let said = read(&[wrong]).join("\n");
    for fault in ["$.daemon.listen", "'pstn' is not"] {
        assert!(said.contains(fault), "{fault}: {said}");
    }
}
