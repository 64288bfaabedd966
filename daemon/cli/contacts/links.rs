//! What the contact sync knows of single contacts: links, conflicts, and how a merged one is parted.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::super::{ask, table};
use crate::settings::types::AdminAddress;
use serde_json::{Value, json};
use std::io::Write;

pub fn list(
    admin: &AdminAddress,
    kustomer: Option<&str>,
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut links: Vec<Value> = Vec::new();
    let name = kustomer.map_or_else(String::new, |name| {
        format!("kustomer={}", ask::segment(name))
    });
    let mut cursor = String::new();
    loop {
        let answer = ask::get(admin, &format!("/sync/links?{name}{cursor}"))?.ok()?;
        links.extend(answer["links"].as_array().into_iter().flatten().cloned());
        match answer["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", ask::segment(next)),
            None => break,
        }
    }
    if as_json {
        writeln!(out, "{}", json!({"links": links}))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = links
        .iter()
        .map(|link| {
            let customers = link["customers"].as_array().into_iter().flatten();
            let customers: Vec<String> = customers.map(text).collect();
            let customers = customers.join(", ");
            vec![
                text(&link["contact"]),
                text(&link["name"]),
                customers,
                text(&link["state"]),
            ]
        })
        .collect();
    table::write(out, &["contact", "name", "customers", "state"], &rows)?;
    Ok(())
}

pub fn conflicts(admin: &AdminAddress, as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let answer = ask::get(admin, "/sync/conflicts")?.ok()?;
    if as_json {
        writeln!(out, "{answer}")?;
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for of in answer["conflicts"].as_array().into_iter().flatten() {
        for one in of["conflicts"].as_array().into_iter().flatten() {
            let columns = ["contact", "field", "kustomer", "phone"];
            rows.push(columns.map(|column| text(&one[column])).into());
        }
    }
    if rows.is_empty() {
        writeln!(out, "there are none")?;
        return Ok(());
    }
    table::write(
        out,
        &["contact", "field", "in Kustomer", "on the phone side"],
        &rows,
    )?;
    writeln!(
        out,
        "\nGive both sides the same value, and the conflict is over."
    )?;
    Ok(())
}

pub fn unmerge(admin: &AdminAddress, contact: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let answer = ask::post(admin, "/sync/unmerge", &json!({"contact": contact}))?.ok()?;
    let contacts = answer["contacts"].as_array().cloned().unwrap_or_default();
    if contacts.is_empty() {
        writeln!(out, "it stands for one customer: there is nothing to part")?;
    }
    for contact in &contacts {
        writeln!(out, "{}", text(contact))?;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
