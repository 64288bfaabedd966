//! The rules that no compiler holds, read off the source: who may import whom, how long a file and a function may be,
//! names and words that mislead, and what every file says of itself.

mod source;

use std::path::{Path, PathBuf};

use source::{code_alone, long_functions, paths, undocumented};

/// A longer file is two rooms.
const FILE_LINES_MAX: usize = 450;
/// A longer function doesn't fit a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Names that say nothing of what is inside.
const NAMES: [&str; 9] = [
    "util", "utils", "helper", "helpers", "manager", "common", "service", "misc", "shared",
];

/// Calls that must not be in the code, each with what to do instead.
const CALLS: [(&str, &str); 5] = [
    ("todo!", "write it or return a fault"),
    ("unimplemented!", "write it or return a fault"),
    ("dbg!", "log it with tracing or take it out"),
    (
        "flush_async",
        "it hangs when several wait: flush on a blocking thread",
    ),
    ("#[ignore", "a test that doesn't run proves nothing"),
];

/// Words of unfinished work, in comments too. Written in halves, so that this file has none of them.
const UNFINISHED: [(&str, &str); 4] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")];

/// Words that belong to one machine or to how the work was organised, not to the project.
const FOREIGN: [(&str, &str); 9] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("sha", "red/"),
    ("index.", "crates.io"),
    ("this ", "session"),
    ("work", "tree"),
    ("anoth", "er helper"),
];

/// Who may not name whom: files below the first path must not name any of the words.
const WALLS: [Wall; 12] = [
    Wall {
        inside: &["daemon/terms/"],
        except: &[],
        never: &[
            "crate", "tokio", "sled", "reqwest", "axum", "hyper", "std::fs", "std::net", "std::env",
        ],
        own: &["crate::terms"],
        why: "terms is the vocabulary: it knows nobody and does nothing",
    },
    Wall {
        inside: &[
            "daemon/calls/decode",
            "daemon/calls/assemble",
            "daemon/calls/filter",
            "daemon/calls/matching",
            "daemon/calls/assign",
            "daemon/calls/custom",
            "daemon/calls/entry",
            "daemon/calls/exchange",
            "daemon/calls/fields",
            "daemon/calls/note",
            "daemon/contacts/agree",
            "daemon/contacts/guard",
            "daemon/contacts/import",
            "daemon/contacts/link",
            "daemon/contacts/merge",
            "daemon/contacts/plan",
            "daemon/contacts/unmerge",
            "daemon/contacts/world",
        ],
        except: &[],
        never: &[
            "crate", "tokio", "sled", "reqwest", "axum", "hyper", "std::fs", "std::net", "std::env",
        ],
        own: &[
            "crate::terms",
            "crate::settings::types",
            "crate::calls::decode",
            "crate::calls::assemble",
            "crate::calls::filter",
            "crate::calls::matching",
            "crate::calls::assign",
            "crate::calls::custom",
            "crate::calls::entry",
            "crate::calls::exchange",
            "crate::calls::fields",
            "crate::calls::note",
            "crate::contacts::agree",
            "crate::contacts::guard",
            "crate::contacts::import",
            "crate::contacts::link",
            "crate::contacts::merge",
            "crate::contacts::plan",
            "crate::contacts::unmerge",
            "crate::contacts::world",
        ],
        why: "a stage that decides is a plain function from values to a value (docs/architecture.md)",
    },
    Wall {
        inside: &[
            "daemon/phonebook/carddav/card",
            "daemon/phonebook/carddav/lines",
            "daemon/phonebook/carddav/memory",
            "daemon/phonebook/carddav/patch",
            "daemon/phonebook/carddav/report",
            "daemon/phonebook/carddav/xml",
        ],
        except: &[],
        never: &[
            "crate", "tokio", "sled", "reqwest", "axum", "hyper", "std::fs", "std::net", "std::env",
        ],
        own: &["crate::terms", "crate::phonebook"],
        why: "what cards and answers mean is decided by plain functions; carddav.rs and http.rs do the rest",
    },
    Wall {
        inside: &["daemon/backoff.rs", "daemon/pace.rs"],
        except: &[],
        never: &["crate", "tokio", "sled", "reqwest", "std::fs", "std::net"],
        own: &["crate::terms", "crate::clock"],
        why: "waiting is decided by plain functions; who waits is somebody else's business",
    },
    Wall {
        inside: &["daemon/"],
        except: &["daemon/store/"],
        never: &["sled"],
        own: &[],
        why: "only store/ names the engine, so that one folder can replace it",
    },
    Wall {
        inside: &["daemon/"],
        except: &[
            "daemon/kustomer/http.rs",
            "daemon/phonebook/carddav/http.rs",
            "daemon/trace/otel/http.rs",
        ],
        never: &["reqwest"],
        own: &[],
        why: "one HTTP client for each peer: every request to Kustomer passes the budgets before it comes to kustomer/http.rs, every one to a contact server the limits in carddav/http.rs; trace/otel/http.rs sends spans alone",
    },
    Wall {
        inside: &["daemon/sandbox/"],
        except: &[],
        never: &["crate"],
        own: &["crate::sandbox"],
        why: "the sandbox shares nothing with the client, or both could be wrong in the same way",
    },
    Wall {
        inside: &["daemon/"],
        except: &["daemon/sandbox/", "daemon/cli/", "daemon/main.rs"],
        never: &["crate::sandbox"],
        own: &[],
        why: "the daemon doesn't know whom it talks to: the sandbox is a program of its own behind the CLI",
    },
    Wall {
        inside: &["daemon/simulate/"],
        except: &[],
        never: &["crate"],
        own: &["crate::simulate", "crate::settings::types", "crate::clock"],
        why: "what plays a phone system shares nothing with what reads one, or both could be wrong in the same way",
    },
    Wall {
        inside: &["daemon/"],
        except: &["daemon/simulate/", "daemon/cli/", "daemon/main.rs"],
        never: &["crate::simulate"],
        own: &[],
        why: "the daemon doesn't know whether a phone system is real",
    },
    Wall {
        inside: &["daemon/"],
        except: &["daemon/cli/", "daemon/main.rs"],
        never: &["crate::cli"],
        own: &[],
        why: "the CLI is a face: it knows the parts, they don't know it",
    },
    Wall {
        inside: &["daemon/"],
        except: &[
            "daemon/app.rs",
            "daemon/app/",
            "daemon/cli/",
            "daemon/main.rs",
        ],
        never: &["crate::app"],
        own: &[],
        why: "only app.rs knows all parts; a part that knew it would know all others",
    },
];

struct Wall {
    /// Path beginnings that the wall surrounds, from the repository's root.
    inside: &'static [&'static str],
    except: &'static [&'static str],
    /// What may not be named there ...
    never: &'static [&'static str],
    /// ... but for these.
    own: &'static [&'static str],
    why: &'static str,
}

impl Wall {
    fn surrounds(&self, path: &str) -> bool {
        let below = |beginnings: &[&str]| {
            beginnings
                .iter()
                .any(|beginning| path.starts_with(beginning))
        };
        below(self.inside) && !below(self.except)
    }

    fn trespasses(&self, source: &Source) -> Vec<(usize, String)> {
        let under = |path: &str, heads: &[&str]| {
            heads
                .iter()
                .any(|head| path == *head || path.starts_with(&format!("{head}::")))
        };
        paths(&source.path, &source.code)
            .into_iter()
            .filter(|(_, path)| under(path, self.never) && !under(path, self.own))
            .map(|(line, path)| (line, format!("{path} must not be named here: {}", self.why)))
            .collect()
    }
}

#[test]
fn imports_keep_their_direction() {
    report(&sources(&["daemon"]), |source| {
        WALLS
            .iter()
            .filter(|wall| wall.surrounds(&source.path))
            .flat_map(|wall| wall.trespasses(source))
            .collect()
    });
}

#[test]
fn a_trespass_is_found() {
    let named = |path: &str, code: &str| -> usize {
        let source = Source {
            path: path.to_owned(),
            text: String::new(),
            code: code.to_owned(),
        };
        let surrounding = WALLS.iter().filter(|wall| wall.surrounds(path));
        surrounding.map(|wall| wall.trespasses(&source).len()).sum()
    };
    assert_eq!(named("daemon/terms/call.rs", "use super::number::E164;"), 0);
    assert_eq!(
        named("daemon/terms/call.rs", "use crate::settings::Rules;"),
        1
    );
    assert_eq!(
        named(
            "daemon/calls/filter.rs",
            "use crate::{terms::call, store::Tree};"
        ),
        1
    );
    assert_eq!(
        named(
            "daemon/calls/decode/asterisk.rs",
            "fn a() { std::fs::read(b) }"
        ),
        1
    );
    assert_eq!(named("daemon/calls/journal.rs", "use sled::Db;"), 1);
    assert_eq!(named("daemon/store/tree.rs", "use sled::Db;"), 0);
    assert_eq!(
        named("daemon/sandbox/bulk.rs", "use crate::kustomer::wire;"),
        1
    );
    assert_eq!(named("daemon/calls/line.rs", "use crate::app::App;"), 1);
    assert_eq!(
        named(
            "daemon/simulate/writers/twilio.rs",
            "use crate::calls::decode::Site;"
        ),
        1
    );
    assert_eq!(
        named("daemon/calls/line.rs", "use crate::simulate::Call;"),
        1
    );
}

#[test]
fn files_are_one_room_each() {
    report(&sources(&["daemon"]), |source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX)
            .then(|| {
                (
                    lines,
                    format!("{lines} lines, over {FILE_LINES_MAX}: make it two rooms"),
                )
            })
            .into_iter()
            .collect()
    });
}

#[test]
fn functions_fit_a_screen() {
    report(&sources(&["daemon"]), |source| {
        long_functions(&source.code, FUNCTION_LINES_MAX)
    });
}

#[test]
fn files_open_with_their_job() {
    report(&sources(&["daemon", "tests", "benches"]), |source| {
        let silent = !source.text.starts_with("//!");
        silent
            .then(|| {
                (
                    1,
                    "opens without //!: say its job, what it owns and who calls it".to_owned(),
                )
            })
            .into_iter()
            .collect()
    });
}

#[test]
fn names_say_what_is_inside() {
    report(&sources(&["daemon", "tests", "benches"]), |source| {
        let path = source.path.trim_end_matches(".rs");
        path.split('/')
            .filter(|part| NAMES.contains(part))
            .map(|part| {
                (
                    1,
                    format!("{part:?} says nothing: name it after what it does"),
                )
            })
            .collect()
    });
}

#[test]
fn nothing_is_left_over() {
    report(&sources(&["daemon", "tests", "benches"]), |source| {
        let calls = numbered(&source.code).flat_map(|(number, line)| {
            CALLS
                .iter()
                .filter(move |(call, _)| line.contains(call))
                .map(move |(call, instead)| (number, format!("{call}: {instead}")))
        });
        let words = numbered(&source.text).flat_map(|(number, line)| {
            UNFINISHED
                .iter()
                .map(|(head, tail)| format!("{head}{tail}"))
                .filter(move |word| {
                    line.split(|c: char| !c.is_alphanumeric())
                        .any(|part| part == word)
                })
                .map(move |word| (number, format!("{word}: do it now, or take it out")))
        });
        calls.chain(words).collect()
    });
}

#[test]
fn the_repository_speaks_of_the_project_alone() {
    let endings = [
        "rs", "md", "toml", "sh", "service", "socket", "run", "Makefile",
    ];
    report(&files(&["."], &endings), |source| {
        numbered(&source.text)
            .flat_map(|(number, line)| {
                FOREIGN
                    .iter()
                    .map(|(head, tail)| format!("{head}{tail}"))
                    .filter(move |word| line.contains(word.as_str()))
                    .map(move |word| (number, format!("{word:?} is no word of this project")))
            })
            .collect()
    });
}

#[test]
fn the_vocabulary_is_documented() {
    report(&sources(&["daemon/terms"]), |source| {
        undocumented(&source.text)
    });
}

/// One file: its path from the root, its text, and its code without comments, texts and characters, line by line.
struct Source {
    path: String,
    text: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    files(folders, &["rs"])
}

fn files(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), endings, &mut found);
    }
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = code_alone(&text);
            let path = path.strip_prefix(root()).unwrap().to_string_lossy();
            Source {
                path: path.trim_start_matches("./").to_owned(),
                text,
                code,
            }
        })
        .collect()
}

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return; // benches/ may not be there
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let ending = name.rsplit('.').next().unwrap_or_default();
        if path.is_dir() {
            let foreign = matches!(name.as_str(), "target" | ".git" | "proptest-regressions");
            if !foreign {
                walk(&path, endings, found);
            }
        } else if endings.contains(&ending) {
            found.push(path);
        }
    }
}

/// Fails with every finding of every file at once, each with its place.
fn report(sources: &[Source], find: impl Fn(&Source) -> Vec<(usize, String)>) {
    assert!(!sources.is_empty(), "no files to read");
    let findings: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            find(source)
                .into_iter()
                .map(|(line, finding)| format!("{}:{line}: {finding}", source.path))
        })
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}
