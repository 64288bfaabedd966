//! Reads Rust just well enough for the rules in tests/tidy.rs: code without its comments and texts, the paths that it
//! names, its functions and its docs. No parser: a new syntax must not break a rule about length.

/// `text` with every comment, text and character literal blanked, line for line.
pub fn code_alone(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends, or `at` if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    let inside_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => find(chars, at, |rest| rest[0] == '\n', 0),
        '/' if next(1) == '*' => comment_end(chars, at),
        '"' => text_end(chars, at),
        '\'' if next(1) == '\\' => find(chars, at + 3, |rest| rest[0] == '\'', 1),
        '\'' if next(2) == '\'' => at + 3,
        'r' if !inside_word || matches!(chars[at - 1], 'b' | 'c') => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if next(1 + hashes) != '"' {
                return at; // a name, or a raw name such as r#type
            }
            let closing: Vec<char> = std::iter::once('"')
                .chain(std::iter::repeat_n('#', hashes))
                .collect();
            find(
                chars,
                at + 2 + hashes,
                |rest| rest.starts_with(&closing),
                closing.len(),
            )
        }
        _ => at,
    }
}

/// The first place from `from` where `found` holds, plus `beyond`; the end of the file if there is none.
fn find(chars: &[char], from: usize, found: impl Fn(&[char]) -> bool, beyond: usize) -> usize {
    (from..chars.len())
        .find(|at| found(&chars[*at..]))
        .map_or(chars.len(), |at| at + beyond)
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn text_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Words, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                length => length,
            };
            if !first.is_whitespace() {
                tokens.push((number, rest[..length].to_owned()));
            }
            rest = &rest[length..];
        }
    }
    tokens
}

/// Every path that the code of the file at `path` names, from the crate's root where it begins with `self` or `super`,
/// `a::{b, c}` written out, each with its line. What stands in a `mod tests` is left out: a test may reach further.
pub fn paths(path: &str, code: &str) -> Vec<(usize, String)> {
    let module: Vec<&str> = path
        .trim_start_matches("daemon/")
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| !matches!(*part, "mod" | "lib"))
        .collect();
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new(); // modules written inside the file, and the depth they began at
    let (mut at, mut depth) = (0, 0_usize);
    while at < tokens.len() {
        let word = |ahead: usize| {
            tokens
                .get(at + ahead)
                .map_or("", |(_, token)| token.as_str())
        };
        match word(0) {
            "mod" if word(2) == "{" => inline.push((word(1).to_owned(), depth)),
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, began)| *began < depth);
            }
            _ if word(1) == "::" => {
                let mut here: Vec<&str> = std::iter::once("crate")
                    .chain(module.iter().copied())
                    .collect();
                here.extend(inline.iter().map(|(name, _)| name.as_str()));
                let mut written = Vec::new();
                at = write_out(&tokens, at, String::new(), &mut written);
                if inline.iter().all(|(name, _)| name != "tests") {
                    found.extend(
                        written
                            .into_iter()
                            .map(|(line, path)| (line, from_root(&here, &path))),
                    );
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Appends the path that begins at `at`, or each of its branches, to `written`; returns where it ends.
fn write_out(
    tokens: &[(usize, String)],
    mut at: usize,
    before: String,
    written: &mut Vec<(usize, String)>,
) -> usize {
    let mut path = before;
    let line = tokens[at].0;
    while let Some((_, token)) = tokens.get(at) {
        if token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                at = match tokens[at].1.as_str() {
                    "," => at + 1,
                    "as" => at + 2,
                    _ => write_out(tokens, at, path.clone(), written),
                };
            }
            return at + 1;
        }
        path.push_str(token);
        at += 1;
        if tokens.get(at).is_none_or(|(_, token)| token != "::") {
            break;
        }
        path.push_str("::");
        at += 1;
    }
    written.push((line, path));
    at
}

fn from_root(here: &[&str], path: &str) -> String {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base = here.to_vec();
    let relative = matches!(parts[0], "self" | "super");
    while matches!(parts.first(), Some(&("self" | "super"))) {
        if parts.remove(0) == "super" {
            base.pop();
        }
    }
    if relative {
        [base, parts].concat().join("::")
    } else {
        path.to_owned()
    }
}

/// Functions of more than `limit` lines, from their `fn` to their closing brace.
pub fn long_functions(code: &str, limit: usize) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [(line, keyword), (_, name)] = pair else {
            continue;
        };
        if keyword != "fn" || name == "(" {
            continue;
        }
        let mut depth = 0_usize;
        for (last, token) in &tokens[at..] {
            match token.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ended = depth == 0 && matches!(token.as_str(), "}" | ";");
            if ended {
                let lines = last - line + 1;
                if lines > limit {
                    found.push((
                        *line,
                        format!("fn {name} has {lines} lines, over {limit}: split it"),
                    ));
                }
                break;
            }
        }
    }
    found
}

/// Public functions without a doc comment.
pub fn undocumented(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let documented = |at: usize| {
        lines[..at]
            .iter()
            .rev()
            .find(|line| !line.starts_with("#["))
            .is_some_and(|line| line.starts_with("///"))
    };
    (0..lines.len())
        .filter(|at| {
            let line = lines[*at];
            ["pub fn ", "pub const fn ", "pub async fn "]
                .iter()
                .any(|start| line.starts_with(start))
                && !documented(*at)
        })
        .map(|at| {
            (
                at + 1,
                format!(
                    "{:?} has no doc: say what it gives, in which unit, and when it fails",
                    lines[at]
                ),
            )
        })
        .collect()
}

#[test]
fn comments_and_texts_are_blanked() {
    let table = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a "b \" {" c"#, "a          c"),
        ("a r#\"b \" c\"# d", "a            d"),
        ("a 'b' '\\'' '\\u{7b}' c", "a                   c"),
        ("fn a<'b>(c: &'b str) {}", "fn a<'b>(c: &'b str) {}"),
        ("for r in b {}", "for r in b {}"),
    ];
    for (text, code) in table {
        assert_eq!(code_alone(text).trim_end(), code, "{text}");
    }
}

#[test]
fn paths_are_written_out_from_the_root() {
    let named = |code: &str| -> Vec<String> {
        paths("daemon/calls/filter.rs", code)
            .into_iter()
            .map(|(_, path)| path)
            .collect()
    };
    assert_eq!(
        named("use a::{b, c::{d, self}, e as f};"),
        ["a::b", "a::c::d", "a::c::self", "a::e"]
    );
    assert_eq!(
        named("use super::entry::X; use self::y;"),
        ["crate::calls::entry::X", "crate::calls::filter::y"]
    );
    assert_eq!(
        named("mod inner { use super::x; } use super::y;"),
        ["crate::calls::filter::x", "crate::calls::y"]
    );
    assert_eq!(
        named("mod tests { use super::*; fn a() { sled::open() } } b::c()"),
        ["b::c"]
    );
    assert_eq!(named("match a { A::B { c } => d::e(c) }"), ["A::B", "d::e"]);
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let code = "fn a(f: fn(u8)) -> [u8; 2] {\n\n}\ntrait T {\n    fn b(\n        c: u8,\n    );\n}\nfn d() {\n    {\n    }\n}\n";
    let found: Vec<usize> = long_functions(code, 3)
        .into_iter()
        .map(|(line, _)| line)
        .collect();
    assert_eq!(found, [9]);
    assert_eq!(long_functions(code, 4), []);
}

#[test]
fn functions_without_docs_are_found() {
    let text = "/// Says.\n#[must_use]\npub fn a() {}\n\npub fn b() {}\nfn c() {}\n";
    assert_eq!(undocumented(text).len(), 1);
    assert_eq!(undocumented(text)[0].0, 5);
}
