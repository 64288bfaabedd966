//! What systemd is told: READY, STATUS, WATCHDOG, RELOADING, STOPPING (sd_notify(3)); and the sockets that it hands over
//! (sd_listen_fds(3)). Does nothing when not started by it.

use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// `FileDescriptorName=` of tieline.socket.
const EVENTS: &str = "events";
/// `FileDescriptorName=` of tieline-admin.socket.
const ADMIN: &str = "admin";
/// What a socket is called whose unit says nothing, by systemd and by systemd-socket-activate(1).
const UNNAMED: [&str; 3] = ["", "unknown", "tieline.socket"];

/// Bound sockets that were handed over: the kernel holds connections while no daemon runs.
#[derive(Debug, Default)]
pub struct Sockets {
    pub events: Option<TcpListener>,
    pub admin: Option<AdminSocket>,
}

#[derive(Debug)]
pub enum AdminSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why a socket that was handed over can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    #[error(
        "systemd hands over a socket called {0:?}; FileDescriptorName= says `events` or `admin`"
    )]
    Name(String),
    #[error(
        "systemd hands over two sockets called `{0}`; there can be one (for IPv4 and IPv6 together: ListenStream=[::]:8480 with BindIPv6Only=both)"
    )]
    Twice(&'static str),
    #[error("the socket `{name}` that systemd hands over: {source}")]
    Kind {
        name: &'static str,
        source: io::Error,
    },
}

/// The sockets of tieline.socket and tieline-admin.socket, if those are in use. Once in a process's life: they are taken.
///
/// # Errors
/// A socket that is nobody's, there twice, or of the wrong kind.
pub fn sockets() -> Result<Sockets, SocketFault> {
    // Read first: taking the sockets clears the environment.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let (mut fds, mut sockets) = (ListenFd::from_env(), Sockets::default());
    for index in 0..fds.len() {
        let name = names.next().unwrap_or_default();
        if name == ADMIN {
            let admin = admin_socket(&mut fds, index)?;
            put(&mut sockets.admin, ADMIN, admin)?;
        } else if name == EVENTS || UNNAMED.contains(&name) {
            let events = take(EVENTS, fds.take_tcp_listener(index))?;
            put(&mut sockets.events, EVENTS, events)?;
        } else {
            return Err(SocketFault::Name(name.to_owned()));
        }
    }
    Ok(sockets)
}

fn admin_socket(fds: &mut ListenFd, index: usize) -> Result<AdminSocket, SocketFault> {
    if let Ok(Some(unix)) = fds.take_unix_listener(index) {
        return Ok(AdminSocket::Unix(unix));
    }
    take(ADMIN, fds.take_tcp_listener(index)).map(AdminSocket::Tcp)
}

fn take<T>(name: &'static str, taken: io::Result<Option<T>>) -> Result<T, SocketFault> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    taken
        .and_then(|socket| socket.ok_or_else(gone))
        .map_err(|source| SocketFault::Kind { name, source })
}

fn put<T>(slot: &mut Option<T>, name: &'static str, socket: T) -> Result<(), SocketFault> {
    match slot.replace(socket) {
        None => Ok(()),
        Some(_) => Err(SocketFault::Twice(name)),
    }
}

/// The service takes events from now on.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The settings are being read again; `ready` ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The drain has begun.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Still healthy; only sent while the store writes and the loops move.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The time after which systemd would restart us without a sign of life (`WatchdogSec=`); none if it doesn't watch.
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        tracing::debug!(%fault, "systemd was not told");
    }
}
