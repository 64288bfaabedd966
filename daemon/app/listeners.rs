//! The bound sockets: where phone systems post and where the admin interface answers. Handed over by systemd or bound once
//! by `app.rs`, and again on a reload where an address changed.

use super::{AppFault, Running};
use crate::calls::intake::server::{self, Answer, Listener, Peer, ServeLimits};
use crate::calls::intake::tls::TlsListener;
use crate::offload::off_the_runtime;
use crate::settings::certificate::Certificate;
use crate::settings::types::{AdminAddress, Settings};
use crate::systemd::{self, AdminSocket};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Mutex, mpsc, watch};

/// What a pipe holds that nobody has read yet: as much as a socket.
const PIPE_BYTES: usize = 64 * 1024;
/// Connections that wait to be accepted.
const PIPE_WAITING_MAX: usize = 64;

/// They outlive a reload, so that no connection is refused meanwhile.
#[derive(Clone)]
pub struct Listeners {
    pub events: Socket,
    /// What the events listener shows; none: it speaks plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
    pub admin: Socket,
    handed: Handed,
}

/// Which sockets are systemd's: their addresses are in its units, whatever the settings say.
#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    events: bool,
    admin: bool,
}

#[derive(Clone)]
pub enum Socket {
    Tcp(Arc<TcpListener>),
    Unix(Arc<UnixListener>, PathBuf),
    /// A simulation's.
    Pipe(Arc<Pipe>),
}

/// A socket within this process.
pub struct Pipe {
    waiting: Mutex<mpsc::Receiver<DuplexStream>>,
    callers: mpsc::Sender<DuplexStream>,
}

impl Listeners {
    pub async fn bind(settings: &Settings) -> Result<Self, AppFault> {
        let systemd::Sockets { events, admin } = systemd::sockets()?;
        let handed = Handed {
            events: events.is_some(),
            admin: admin.is_some(),
        };
        let events = match events {
            Some(listener) => of_std(listener).map_err(handed_fault("events listener"))?,
            None => bind_tcp("events listener", settings.daemon.listen).await?,
        };
        let admin = match admin {
            Some(socket) => Socket::handed(socket, &settings.daemon.admin)
                .map_err(handed_fault("admin listener"))?,
            None => Socket::bind_admin(&settings.daemon.admin).await?,
        };
        Ok(Self {
            events: Socket::Tcp(Arc::new(events)),
            certificate: certificate(settings).await?,
            admin,
            handed,
        })
    }

    pub const fn pipes(events: Arc<Pipe>, admin: Arc<Pipe>) -> Self {
        Self {
            events: Socket::Pipe(events),
            certificate: None,
            admin: Socket::Pipe(admin),
            handed: Handed {
                events: false,
                admin: false,
            },
        }
    }

    pub async fn rebind(&self, old: &Settings, new: &Settings) -> Result<Self, AppFault> {
        let mut listeners = self.clone();
        if matches!(self.events, Socket::Pipe(_)) {
            return Ok(listeners);
        }
        listeners.certificate = certificate(new).await?;
        if old.daemon.listen != new.daemon.listen {
            if self.handed.events {
                stays("daemon.listen");
            } else {
                let events = bind_tcp("events listener", new.daemon.listen).await?;
                listeners.events = Socket::Tcp(Arc::new(events));
            }
        }
        if old.daemon.admin != new.daemon.admin {
            if self.handed.admin {
                stays("daemon.admin");
            } else {
                listeners.admin = Socket::bind_admin(&new.daemon.admin).await?;
            }
        }
        Ok(listeners)
    }

    pub fn running(&self) -> Result<Running, AppFault> {
        let fault = |source| AppFault::Listen {
            what: "events listener",
            place: String::new(),
            source,
        };
        let address = self.events.address().map_err(fault)?;
        let admin = match &self.admin {
            Socket::Unix(_, path) => AdminAddress::Unix(path.clone()),
            socket => AdminAddress::Tcp(socket.address().map_err(fault)?),
        };
        Ok(Running { address, admin })
    }
}

fn stays(key: &str) {
    tracing::warn!(
        key,
        "not heeded: systemd holds this socket, and its unit says where (ListenStream=)"
    );
}

fn ended(served: Result<(), server::Panicked>) -> Result<(), AppFault> {
    served.map_err(|fault| AppFault::Part {
        part: "a listener",
        why: fault.to_string(),
    })
}

/// Read again at every reload: certificates are renewed under the same name.
async fn certificate(settings: &Settings) -> Result<Option<Arc<Certificate>>, AppFault> {
    let Some(tls) = settings.daemon.tls.clone() else {
        return Ok(None);
    };
    let read = off_the_runtime(move || Certificate::read(&tls)).await;
    let read = read.map_err(|error| error.to_string());
    let read = read.and_then(|read| read.map_err(|fault| fault.to_string()));
    read.map(|certificate| Some(Arc::new(certificate)))
        .map_err(AppFault::Secret)
}

fn of_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn handed_fault(what: &'static str) -> impl Fn(io::Error) -> AppFault {
    move |source| AppFault::Listen {
        what,
        place: "handed over by systemd".to_owned(),
        source,
    }
}

async fn bind_tcp(what: &'static str, address: SocketAddr) -> Result<TcpListener, AppFault> {
    let fault = |source| AppFault::Listen {
        what,
        place: address.to_string(),
        source,
    };
    TcpListener::bind(address).await.map_err(fault)
}

impl Listeners {
    /// Serves phone systems until `stop` is true, over TLS if there is a certificate.
    pub async fn serve_events(
        self,
        answer: impl Answer,
        limits: ServeLimits,
        stop: watch::Receiver<bool>,
    ) -> Result<(), AppFault> {
        match (self.events, self.certificate) {
            (Socket::Tcp(listener), Some(certificate)) => {
                let listener = TlsListener::new(listener, Arc::clone(&certificate.config));
                ended(server::serve(listener, answer, limits, stop).await)
            }
            (events, _) => events.serve(answer, limits, stop).await,
        }
    }
}

impl Socket {
    /// Serves it until `stop` is true.
    pub async fn serve(
        self,
        answer: impl Answer,
        limits: ServeLimits,
        stop: watch::Receiver<bool>,
    ) -> Result<(), AppFault> {
        let served = match self {
            Self::Tcp(listener) => server::serve(listener, answer, limits, stop).await,
            Self::Unix(listener, _) => server::serve(listener, answer, limits, stop).await,
            Self::Pipe(pipe) => server::serve(pipe, answer, limits, stop).await,
        };
        ended(served)
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Unix(..) | Self::Pipe(_) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        }
    }

    /// systemd made it, with its owner and mode. Commands look for it where the settings say.
    fn handed(socket: AdminSocket, settings: &AdminAddress) -> io::Result<Self> {
        let socket = match socket {
            AdminSocket::Tcp(listener) => Self::Tcp(Arc::new(of_std(listener)?)),
            AdminSocket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                let path = address.as_pathname().map(Path::to_owned);
                let listener = UnixListener::from_std(listener)?;
                Self::Unix(Arc::new(listener), path.unwrap_or_default())
            }
        };
        let there = match (&socket, settings) {
            (Self::Unix(_, path), AdminAddress::Unix(wanted)) => path == wanted,
            (_, AdminAddress::Tcp(wanted)) => socket.address().is_ok_and(|one| one == *wanted),
            _ => false,
        };
        if !there {
            tracing::warn!(
                settings = ?settings,
                "systemd's admin socket is elsewhere than `daemon.admin` says: commands won't find it"
            );
        }
        Ok(socket)
    }

    async fn bind_admin(address: &AdminAddress) -> Result<Self, AppFault> {
        match address {
            AdminAddress::Tcp(address) => Ok(Self::Tcp(Arc::new(
                bind_tcp("admin listener", *address).await?,
            ))),
            AdminAddress::Unix(path) => {
                let fault = |source| AppFault::Listen {
                    what: "admin socket",
                    place: path.display().to_string(),
                    source,
                };
                prepare_socket(path).await.map_err(fault)?;
                let listener = UnixListener::bind(path).map_err(fault)?;
                // For the owner and the group alone: whoever may connect may read call data.
                let mode = std::fs::Permissions::from_mode(0o660);
                tokio::fs::set_permissions(path, mode)
                    .await
                    .map_err(fault)?;
                Ok(Self::Unix(Arc::new(listener), path.clone()))
            }
        }
    }
}

/// Makes the folder, and removes a socket that nobody listens on any more (a killed daemon leaves it).
async fn prepare_socket(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another daemon listens there",
        ));
    }
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Default for Pipe {
    fn default() -> Self {
        let (callers, waiting) = mpsc::channel(PIPE_WAITING_MAX);
        let waiting = Mutex::new(waiting);
        Self { waiting, callers }
    }
}

impl Pipe {
    /// Connects to whoever listens, now or later.
    ///
    /// # Errors
    /// Too many wait already.
    pub fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
        self.callers.try_send(theirs).map_err(refused)?;
        Ok(ours)
    }

    /// Hangs up on everybody who waits, as when nobody listens any more.
    pub async fn hang_up(&self) {
        let mut waiting = self.waiting.lock().await;
        while waiting.try_recv().is_ok() {}
    }
}

impl Listener for Pipe {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        let stream = self.waiting.lock().await.recv().await;
        let stream = stream.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((stream, Peer(IpAddr::V4(Ipv4Addr::LOCALHOST))))
    }
}
