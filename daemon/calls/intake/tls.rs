//! TLS in front of a listener. The handshake is part of the connection's first read, so that the server's limits count it:
//! it holds a place, and must be done, with the first request's head, within `header_timeout`.

use super::server::{Listener, Peer};
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// A listener whose streams are TLS.
pub struct TlsListener<L> {
    plain: L,
    acceptor: TlsAcceptor,
}

impl<L> TlsListener<L> {
    pub fn new(plain: L, config: Arc<ServerConfig>) -> Self {
        Self {
            plain,
            acceptor: TlsAcceptor::from(config),
        }
    }
}

impl<L: Listener + Sync> Listener for TlsListener<L> {
    type Stream = Guarded<L::Stream>;

    async fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        let (stream, peer) = self.plain.accept().await?;
        let handshake = self.acceptor.accept(stream);
        Ok((Guarded(Stage::Handshake(Box::new(handshake))), peer))
    }
}

/// A stream whose first read or write is the handshake.
pub struct Guarded<S>(Stage<S>);

enum Stage<S> {
    Handshake(Box<Accept<S>>),
    Open(Box<TlsStream<S>>),
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// The stream, once the handshake is done.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<S>>>> {
        if let Stage::Handshake(handshake) = &mut self.0 {
            match ready!(pin!(handshake.as_mut()).poll(context)) {
                Ok(stream) => self.0 = Stage::Open(Box::new(stream)),
                Err(error) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    self.0 = Stage::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match &mut self.0 {
            Stage::Open(stream) => Ok(Pin::new(stream.as_mut())),
            Stage::Handshake(_) | Stage::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?.poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stage::Open(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            // Nothing was written yet.
            Stage::Handshake(_) | Stage::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stage::Open(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Stage::Handshake(_) | Stage::Failed => Poll::Ready(Ok(())),
        }
    }
}
