//! Kustomer as the machine sees it: the name of an organisation's API leads to a practice Kustomer of this process, over TLS, with
//! a certificate that the machine trusts. The settings, and tieline, know nothing of it.

use super::machine::Machine;
use crate::support::populated;
use rcgen::{CertificateParams, KeyPair};
use std::sync::Arc;
use tieline::sandbox::{Sandbox, SandboxOptions};
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Makes `host` lead to the sandbox that is returned.
pub async fn reachable_as(host: &str, machine: &Machine) -> Arc<Sandbox> {
    let sandbox = Arc::new(populated(SandboxOptions::empty()).await);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = UnixListener::bind(machine.outside().join("kustomer")).unwrap();
    let answers = Arc::clone(&sandbox);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, mut behind) = (acceptor.clone(), answers.connect());
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    // Whoever hangs up first: the other one sees it.
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                }
            });
        }
    });
    led_to(host, &certificate.pem(), machine);
    sandbox
}

/// What a name server, a network and a certificate authority do elsewhere.
fn led_to(host: &str, certificate: &str, machine: &Machine) {
    machine.write(
        "/usr/local/share/ca-certificates/practice.crt",
        "644",
        certificate,
    );
    machine.write(
        "/etc/systemd/system/outside.socket",
        "644",
        "[Socket]\nListenStream=127.0.0.1:443\n",
    );
    machine.write(
        "/etc/systemd/system/outside.service",
        "644",
        "[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd /srv/outside/kustomer\n",
    );
    machine.run(&format!(
        "update-ca-certificates; echo '127.0.0.1 localhost {host}' >/etc/hosts; \
         systemctl daemon-reload; systemctl start outside.socket"
    ));
}
