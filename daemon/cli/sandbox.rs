//! `tieline sandbox`: a practice Kustomer, so that filters can be tried without an account.

use super::{small_runtime, table};
use crate::sandbox::{self, SandboxOptions};
use clap::Args;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Loopback address to listen on
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: String,
}

pub fn run(args: &SandboxArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = SandboxOptions {
        listen: args.listen.clone(),
        ..SandboxOptions::default()
    };
    let rows = [
        ["[[kustomer]] url", &format!("\"http://{}\"", args.listen)],
        [
            "api_key_file",
            &format!("a file that holds: {}", sandbox::SANDBOX_KEY),
        ],
        [
            "what was logged",
            &format!("curl -s http://{}/_sandbox/dump", args.listen),
        ],
        [
            "make it fail once",
            &format!(
                "curl -s http://{}/_sandbox/faults -d '{{\"path\":\"/v1/conversations/*/notes\",\"count\":1,\"kind\":\"status\",\"status\":503}}'",
                args.listen
            ),
        ],
    ];
    writeln!(
        out,
        "A practice Kustomer. It forgets everything when it stops (Ctrl-C)."
    )?;
    table::write(
        out,
        &["setting", "value"],
        &rows.map(|row| row.map(str::to_owned).to_vec()),
    )?;
    out.flush()?;
    small_runtime()?.block_on(async {
        tokio::select! {
            served = sandbox::serve(options) => served,
            stopped = tokio::signal::ctrl_c() => stopped,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
