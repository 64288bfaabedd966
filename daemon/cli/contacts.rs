//! `tieline contacts`: the built-in phone book: list, show, import, export.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

mod links;

use super::{ConfigArgs, EXIT_FAILED, Exit, ask, table};
use crate::settings::types::AdminAddress;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rows of a list unless --limit says otherwise: what one looks through.
const LIST_LIMIT: usize = 1000;

#[derive(Debug, Args)]
pub struct ContactsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the contacts of the built-in phone book, by id
    List {
        /// At most so many
        #[arg(long, default_value_t = LIST_LIMIT)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one whole
    Show {
        /// Its id, or a number of it as anybody would write it
        contact: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take the contacts of a file; what can't be taken is listed with its line, the rest is taken
    Import {
        /// A .csv or .vcf file
        file: PathBuf,
        /// Only say what would become of it
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List which contacts are linked with which customers
    Links {
        /// Of this integration; without it of the first
        #[arg(long)]
        kustomer: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the fields that both sides changed and that wait for somebody
    Conflicts {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Part a contact that several customers were merged into, or bring one back that was removed
    Unmerge {
        /// Its id
        contact: String,
    },
    /// Write all contacts
    Export {
        #[arg(long)]
        format: FileFormat,
        /// Where to; without it to the terminal
        file: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    Csv,
    Vcard,
}

impl FileFormat {
    const fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Vcard => "vcard",
        }
    }
}

pub fn run(args: &ContactsArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let admin = args.config.load_to_ask()?.daemon.admin;
    match &args.action {
        Action::List { limit, json } => list(&admin, *limit, *json, out)?,
        Action::Show { contact, json } => {
            let path = format!("/contacts/{}", ask::segment(contact));
            let answer = ask::get(&admin, &path)?.ok()?;
            if *json {
                writeln!(out, "{answer:#}")?;
            } else {
                show(&answer, out)?;
            }
        }
        Action::Import {
            file,
            dry_run,
            json,
        } => return import(&admin, file, *dry_run, *json, out),
        Action::Links { kustomer, json } => links::list(&admin, kustomer.as_deref(), *json, out)?,
        Action::Conflicts { json } => links::conflicts(&admin, *json, out)?,
        Action::Unmerge { contact } => links::unmerge(&admin, contact, out)?,
        Action::Export { format, file } => {
            let path = format!("/contacts/export?format={}", format.word());
            match file {
                None => ask::download(&admin, &path, out)?,
                Some(file) => {
                    let shown = || file.display().to_string();
                    let mut to = BufWriter::new(File::create(file).with_context(shown)?);
                    ask::download(&admin, &path, &mut to)?;
                    to.flush().with_context(shown)?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(
    admin: &AdminAddress,
    limit: usize,
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut contacts: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    let more = loop {
        let answer = ask::get(admin, &format!("/contacts{cursor}"))?.ok()?;
        contacts.extend(answer["contacts"].as_array().into_iter().flatten().cloned());
        let next = answer["next"].as_str().map(str::to_owned);
        match next {
            Some(next) if contacts.len() < limit => {
                cursor = format!("?cursor={}", ask::segment(&next));
            }
            next => break next.is_some() || contacts.len() > limit,
        }
    };
    contacts.truncate(limit);
    if as_json {
        writeln!(out, "{}", json!({"contacts": contacts, "more": more}))?;
        return Ok(());
    }
    if contacts.is_empty() {
        writeln!(out, "the phone book is empty")?;
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = |value: &Value, key: &str| {
        let values = value.as_array().into_iter().flatten();
        let values: Vec<String> = values.map(|one| text(&one[key])).collect();
        values.join(", ")
    };
    let rows: Vec<Vec<String>> = contacts
        .iter()
        .map(|contact| {
            vec![
                text(&contact["id"]),
                text(&contact["name"]),
                text(&contact["company"]),
                each(&contact["phones"], "number"),
                each(&contact["emails"], "email"),
            ]
        })
        .collect();
    table::write(out, &["id", "name", "company", "phones", "e-mails"], &rows)?;
    if more {
        writeln!(
            out,
            "\nThere are more; `tieline contacts list --limit` shows them."
        )?;
    }
    Ok(())
}

fn show(contact: &Value, out: &mut dyn Write) -> io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut line = |what: &str, value: String| {
        if value.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{what:<10}{value}")
        }
    };
    line("id", text(&contact["id"]))?;
    line("name", text(&contact["name"]))?;
    line("company", text(&contact["company"]))?;
    for phone in contact["phones"].as_array().into_iter().flatten() {
        line(
            "phone",
            format!("{} ({})", text(&phone["number"]), text(&phone["type"])),
        )?;
    }
    for email in contact["emails"].as_array().into_iter().flatten() {
        line(
            "e-mail",
            format!("{} ({})", text(&email["email"]), text(&email["type"])),
        )?;
    }
    let address = &contact["address"];
    let parts = ["street", "zip", "city", "state", "country"].map(|part| text(&address[part]));
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    line("address", parts.join(", "))?;
    line("website", text(&contact["website"]))?;
    line("link", text(&contact["link"]))?;
    let tags = contact["tags"].as_array().into_iter().flatten().map(text);
    line("tags", tags.collect::<Vec<_>>().join(", "))?;
    for source in contact["sources"].as_array().into_iter().flatten() {
        let (kustomer, customer) = (text(&source["kustomer"]), text(&source["customer"]));
        line("customer", format!("{customer} of {kustomer}"))?;
    }
    for one in contact["left_out"].as_array().into_iter().flatten() {
        let (value, why) = (text(&one["value"]), text(&one["why"]));
        let value = if value.is_empty() {
            "all of it"
        } else {
            &value
        };
        line("left out", format!("{value}: {why}"))?;
    }
    line("changed", text(&contact["updated_at"]))
}

/// Exit code 1 if a record was refused, so that a script sees it.
fn import(
    admin: &AdminAddress,
    file: &Path,
    dry_run: bool,
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let ending = file
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    let format = match ending.as_deref() {
        Some("csv") => FileFormat::Csv,
        Some("vcf" | "vcard") => FileFormat::Vcard,
        _ => {
            let text = format!("{}: only .csv and .vcf files can be read", file.display());
            return Err(Exit {
                code: EXIT_FAILED,
                text,
            }
            .into());
        }
    };
    let from = File::open(file).with_context(|| file.display().to_string())?;
    let path = format!(
        "/contacts/import?format={}&dry_run={dry_run}",
        format.word()
    );
    let report = ask::upload(admin, &path, from)?.ok()?;
    if as_json {
        writeln!(out, "{report}")?;
    } else {
        let would = if dry_run { "would be " } else { "" };
        writeln!(
            out,
            "{} {would}new, {} {would}changed, {} as they were, {} refused",
            report["created"], report["updated"], report["same"], report["refused"]
        )?;
        let refusals = report["refusals"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows: Vec<Vec<String>> = refusals
            .map(|one| {
                vec![
                    one["line"].to_string(),
                    text(&one["what"]),
                    text(&one["why"]),
                ]
            })
            .collect();
        if !rows.is_empty() {
            table::write(out, &["line", "contact", "why it was refused"], &rows)?;
        }
    }
    let whole = report["refused"].as_u64() == Some(0);
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
