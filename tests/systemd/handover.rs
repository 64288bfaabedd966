//! Restarts under load with sockets that somebody else holds, as systemd does for tieline.socket: no post is refused and none
//! is lost. The holder is systemd-socket-activate(1), and a shell that starts the daemon again as `systemctl restart` would.

use super::load::Load;
use super::told::Told;
use crate::support::{Config, LOOK_EVERY, World, logs, within};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const RESTARTS: usize = 100;
/// Runs the daemon until a file says that it is enough; the sockets stay with the shell. LISTEN_PID says for whom they are
/// (sd_listen_fds(3)), so each start has its own.
const AGAIN: &str = r#"
until [ -e enough ]; do
    (export LISTEN_PID=$BASHPID; echo $BASHPID >pid; exec "$0" run --config tieline.toml 2>>log) || exit
done
"#;

/// Ends the shell and what it started.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

fn hold(world: &World, told: &Told) -> Holder {
    use std::os::unix::process::CommandExt as _;
    let folder = &world.place.folder;
    let mut command = Command::new("systemd-socket-activate");
    command
        .arg(format!("--listen={}", world.place.listen))
        .arg(format!("--listen={}", folder.join("admin.sock").display()))
        .arg("--fdname=events:admin")
        .arg(format!("--setenv=NOTIFY_SOCKET={}", told.path.display()))
        .args(["bash", "-c", AGAIN, env!("CARGO_BIN_EXE_tieline")]);
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.process_group(0).spawn();
    Holder(child.expect("systemd-socket-activate runs; tests/setup.sh installs it"))
}

fn running(folder: &Path) -> Pid {
    let pid = fs::read_to_string(folder.join("pid")).unwrap();
    Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_restarts_under_load_refuse_and_lose_no_post() {
    let world = Arc::new(World::start(&Config::default()).await);
    let folder = world.place.folder.clone();
    let told = Told::new(folder.join("notify"));
    let holder = hold(&world, &told);
    within("the sockets are there", async {
        while tokio::net::TcpStream::connect(world.place.listen)
            .await
            .is_err()
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let load = Load::start(&world);
    for _ in 0..RESTARTS {
        told.until("READY=1").await;
        load.goes_on().await;
        kill_process(running(&folder), Signal::TERM).unwrap();
    }
    told.until("READY=1").await;
    let posted = load.stop().await;
    // The admin socket was handed over as well.
    let status = within("all is logged", async {
        loop {
            let status = world.place.ask(Method::GET, "/status", None).await;
            if let Some(status) = status.filter(|one| one["events"]["in_flight"] == 0) {
                return status;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    println!("{RESTARTS} restarts, {posted} posts");
    assert_eq!(status["events"]["accepted"], posted);
    let logged = logs(&world.sandbox);
    assert_eq!(logged.len(), posted);
    let doubled: BTreeSet<_> = logged.iter().filter(|(_, made)| **made != (1, 1)).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    fs::write(folder.join("enough"), "").unwrap();
    kill_process(running(&folder), Signal::TERM).unwrap();
    drop(holder);
}
