//! The bound sockets: where phone systems post and where the admin interface answers. Bound once by `app.rs`, and again on
//! a reload where an address changed.

use super::{AppFault, Running};
use crate::settings::types::{AdminAddress, Settings};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

/// They outlive a reload, so that no connection is refused meanwhile.
#[derive(Clone)]
pub struct Listeners {
    pub events: Arc<TcpListener>,
    pub admin: AdminListener,
}

#[derive(Clone)]
pub enum AdminListener {
    Tcp(Arc<TcpListener>),
    Unix(Arc<UnixListener>, PathBuf),
}

impl Listeners {
    pub async fn bind(settings: &Settings) -> Result<Self, AppFault> {
        let events = match inherited_socket() {
            Some(listener) => listener,
            None => bind_tcp("events listener", settings.daemon.listen).await?,
        };
        let admin = AdminListener::bind(&settings.daemon.admin).await?;
        Ok(Self {
            events: Arc::new(events),
            admin,
        })
    }

    pub async fn rebind(&self, old: &Settings, new: &Settings) -> Result<Self, AppFault> {
        let mut listeners = self.clone();
        if old.daemon.listen != new.daemon.listen {
            listeners.events = Arc::new(bind_tcp("events listener", new.daemon.listen).await?);
        }
        if old.daemon.admin != new.daemon.admin {
            listeners.admin = AdminListener::bind(&new.daemon.admin).await?;
        }
        Ok(listeners)
    }

    pub fn running(&self) -> Result<Running, AppFault> {
        let fault = |source| AppFault::Listen {
            what: "events listener",
            place: String::new(),
            source,
        };
        let admin = match &self.admin {
            AdminListener::Tcp(listener) => {
                AdminAddress::Tcp(listener.local_addr().map_err(fault)?)
            }
            AdminListener::Unix(_, path) => AdminAddress::Unix(path.clone()),
        };
        Ok(Running {
            address: self.events.local_addr().map_err(fault)?,
            admin,
        })
    }
}

/// The socket systemd passes (tieline.socket), if any.
fn inherited_socket() -> Option<TcpListener> {
    let listener = listenfd::ListenFd::from_env()
        .take_tcp_listener(0)
        .ok()
        .flatten()?;
    listener.set_nonblocking(true).ok()?;
    TcpListener::from_std(listener).ok()
}

async fn bind_tcp(what: &'static str, address: SocketAddr) -> Result<TcpListener, AppFault> {
    let fault = |source| AppFault::Listen {
        what,
        place: address.to_string(),
        source,
    };
    TcpListener::bind(address).await.map_err(fault)
}

impl AdminListener {
    async fn bind(address: &AdminAddress) -> Result<Self, AppFault> {
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
