//! `tieline check`: is the configuration right, and with `--online`, does the Kustomer key work and have its roles?

mod particulars;

use super::{ConfigArgs, small_runtime, table};
use crate::clock;
use crate::kustomer::client::{Client, Past};
use crate::kustomer::fault::KustomerFault;
use crate::settings::certificate::Certificate;
use crate::settings::load;
use crate::settings::summary::summary;
use crate::settings::types::{KustomerSettings, LateFacts, Settings};
use crate::terms::ids::{ConversationId, CustomerId};
use crate::terms::number::E164;
use clap::Args;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also ask Kustomer: key, region, roles. Reads only, changes nothing
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One question asked with a key.
struct Probe {
    /// The role that it needs, or what is looked for.
    role: Cow<'static, str>,
    needed_for: &'static str,
    outcome: Result<(), String>,
}

pub fn run(args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut settings = match load::load(&args.config.sources()) {
        Ok(settings) => settings,
        Err(faults) => {
            if args.json {
                writeln!(out, "{}", json!({"ok": false, "faults": faults.to_json()}))?;
            } else {
                writeln!(out, "{faults}")?;
            }
            return Ok(ExitCode::from(super::EXIT_CONFIG));
        }
    };
    if let Some(tls) = &settings.daemon.tls {
        let doubt = Certificate::read(tls)?.doubt(clock::now());
        let note = |doubt| format!("{}: {doubt}", tls.certificate_file.display());
        settings.notes.extend(doubt.map(note));
    }
    let probes = if args.online {
        small_runtime()?.block_on(probe_all(&settings))
    } else {
        Vec::new()
    };
    let failed = probes
        .iter()
        .any(|(_, probes)| probes.iter().any(|probe| probe.outcome.is_err()));
    if args.json {
        let online: Vec<Value> = probes
            .iter()
            .map(|(name, probes)| probes_json(name, probes))
            .collect();
        let summary = summary(&settings);
        writeln!(
            out,
            "{}",
            json!({"ok": !failed, "in_force": summary, "notes": settings.notes, "online": online})
        )?;
    } else {
        print(&settings, &probes, out)?;
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(
    settings: &Settings,
    probes: &[(String, Vec<Probe>)],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(out, "The configuration is right. In force:")?;
    for line in summary(settings) {
        writeln!(out, "  {line}")?;
    }
    for (name, probes) in probes {
        writeln!(out, "Kustomer \"{name}\":")?;
        let row = |probe: &Probe| {
            let outcome = probe
                .outcome
                .as_ref()
                .map_or_else(Clone::clone, |()| "ok".to_owned());
            vec![
                format!("  {}", probe.role),
                probe.needed_for.to_owned(),
                outcome,
            ]
        };
        let rows: Vec<Vec<String>> = probes.iter().map(row).collect();
        table::write(out, &["  role", "needed for", "answer"], &rows)?;
        writeln!(
            out,
            "  Roles to create can't be asked for without creating; the first call shows them."
        )?;
    }
    Ok(())
}

fn probes_json(name: &str, probes: &[Probe]) -> Value {
    let probe = |probe: &Probe| json!({"role": probe.role.as_ref(), "needed_for": probe.needed_for, "ok": probe.outcome.is_ok(), "why": probe.outcome.as_ref().err()});
    json!({"integration": name, "probes": probes.iter().map(probe).collect::<Vec<_>>()})
}

async fn probe_all(settings: &Settings) -> Vec<(String, Vec<Probe>)> {
    let mut all = Vec::new();
    for integration in &settings.kustomers {
        all.push((integration.name.clone(), probe(integration).await));
    }
    all
}

/// Requests for what nobody has, answered 404 at most, each of which needs one role (Kustomer: API keys and roles).
async fn probe(integration: &KustomerSettings) -> Vec<Probe> {
    let client = match Client::new(integration, Past::default()) {
        Ok(client) => client,
        Err(fault) => {
            return vec![Probe {
                role: Cow::Borrowed("any"),
                needed_for: "everything",
                outcome: Err(fault.to_string()),
            }];
        }
    };
    let mut probes = vec![Probe {
        role: Cow::Borrowed("any"),
        needed_for: "everything",
        outcome: verdict(client.current_user().await),
    }];
    if probes.iter().any(|probe| probe.outcome.is_err()) {
        return probes;
    }
    let nobody = CustomerId("aaaaaaaaaaaaaaaaaaaaaaaa".to_owned());
    let nothing = ConversationId(nobody.0.clone());
    let number: Result<E164, _> = "+12025550123".parse();
    if let Ok(number) = number {
        let outcome = verdict(client.by_phone(&number).await);
        probes.push(Probe {
            role: Cow::Borrowed("org.permission.customer.read"),
            needed_for: "whose number it is",
            outcome,
        });
    }
    let outcome = verdict(client.conversation(&nothing).await);
    probes.push(Probe {
        role: Cow::Borrowed("org.permission.conversation.read"),
        needed_for: "never logging twice",
        outcome,
    });
    let outcome = verdict(client.notes_of(&nothing).await);
    probes.push(Probe {
        role: Cow::Borrowed("org.permission.note.read"),
        needed_for: "never noting twice",
        outcome,
    });
    if integration.calls.late == LateFacts::Staged {
        probes.extend(particulars::late(&client, &nothing).await);
    }
    probes.push(Probe {
        role: Cow::Borrowed("org.permission.user.read"),
        needed_for: "assigning conversations to agents",
        outcome: verdict(client.all_users().await),
    });
    probes.extend(particulars::probe(integration, &client).await);
    probes.push(Probe {
        role: Cow::Borrowed("org.permission.bulk.read"),
        needed_for: "catching up quickly after an outage",
        outcome: verdict(client.bulk_job(&nobody.0).await),
    });
    probes.extend(particulars::contacts(integration, &client, &nobody).await);
    probes.extend(particulars::webhook(integration, &client).await);
    if integration.calls.voice_message || integration.texts.text_message {
        let outcome = verdict(client.message_by_external_id("tieline:check").await);
        probes.push(Probe {
            role: Cow::Borrowed("org.permission.message.read"),
            needed_for: "voice and text messages",
            outcome,
        });
    }
    probes
}

fn verdict<T>(answer: Result<T, KustomerFault>) -> Result<(), String> {
    match answer {
        Ok(_) | Err(KustomerFault::NotFound) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}
