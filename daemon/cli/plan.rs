//! `tieline plan`: what the contact syncs would write now, what is left out and why, and whether the guard lets it through.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::{ConfigArgs, EXIT_PLANNED, ask, table};
use clap::Args;
use serde_json::Value;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 3 if something would be written.
pub fn run(args: &PlanArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let admin = args.config.load_to_ask()?.daemon.admin;
    let answer = ask::get(&admin, "/sync/plan")?.ok()?;
    let plans = answer["plans"].as_array().cloned().unwrap_or_default();
    if args.json {
        writeln!(out, "{answer:#}")?;
    } else {
        for plan in &plans {
            print(plan, out)?;
        }
    }
    let writes = plans.iter().any(|plan| plan["writes"].as_u64() != Some(0));
    Ok(if writes {
        ExitCode::from(EXIT_PLANNED)
    } else {
        ExitCode::SUCCESS
    })
}

fn print(plan: &Value, out: &mut dyn Write) -> io::Result<()> {
    let counts = &plan["counts"];
    let kustomer = text(&plan["kustomer"]);
    if plan["writes"].as_u64() == Some(0) {
        writeln!(out, "{kustomer}: nothing would be written")?;
    } else {
        writeln!(
            out,
            "{kustomer}: plan {}: on the phone side {} new, {} changed, {} removed; in Kustomer {} new, {} changed",
            text(&plan["plan"]),
            counts["create_contacts"],
            counts["update_contacts"],
            counts["remove_contacts"],
            counts["create_customers"],
            counts["update_customers"],
        )?;
    }
    let shown = |head: &[&str], key: &str, columns: &[&str], out: &mut dyn Write| {
        let rows = plan[key].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = rows
            .map(|row| columns.iter().map(|column| text(&row[*column])).collect())
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        table::write(out, head, &rows)
    };
    let steps = ["action", "contact", "name", "what"];
    shown(
        &["what is done", "contact", "name", "what changes"],
        "steps",
        &steps,
        out,
    )?;
    let left_out = ["side", "id", "value", "why"];
    shown(
        &["left out of", "id", "value", "why"],
        "left_out",
        &left_out,
        out,
    )?;
    let conflicts = ["contact", "field", "kustomer", "phone"];
    shown(
        &["conflict", "field", "in Kustomer", "on the phone side"],
        "conflicts",
        &conflicts,
        out,
    )?;
    shown(&["refused", "why"], "refused", &["contact", "why"], out)?;
    if let Some(why) = plan["stopped"].as_str() {
        let id = text(&plan["plan"]);
        writeln!(out, "\nIt is not carried out: {why}.")?;
        writeln!(out, "`tieline sync now --approve {id}` carries it out.")?;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
