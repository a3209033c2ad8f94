//! TLS against a rustls server with the certificates of fixtures/tls, and what is said when it does not come about.

use std::path::Path;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
        version::{TLS12, TLS13},
    },
};

use super::*;
use crate::{error::Result, security::Tls};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tls");
    std::fs::read(folder.join(name)).unwrap()
}

/// What the broker is.
struct Broker {
    certificate: &'static str,
    asks_for_certificate: bool,
    tls12: bool,
}

const BROKER: Broker = Broker { certificate: "broker", asks_for_certificate: false, tls12: false };

impl Broker {
    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ClientCertVerifier> = if self.asks_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&fixture("ca.pem")).unwrap()).unwrap();
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap()
        } else {
            Arc::new(NoClientAuth)
        };
        let versions = if self.tls12 { [&TLS12] } else { [&TLS13] };
        let chain = vec![CertificateDer::from_pem_slice(&fixture(&format!("{}.pem", self.certificate))).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&fixture(&format!("{}.key", self.certificate))).unwrap();
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).unwrap();
        let config = config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Connects to such a broker as `localhost`.
    async fn connect(&self, tls: Tls) -> Result<Connection> {
        let acceptor = self.acceptor();
        let serve = move |stream| async move {
            // A handshake that the client breaks off is what some tests are about.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut script = Script(stream);
            script.greet().await;
            script.0.shutdown().await.unwrap();
        };
        connect(Some(tls), serve).await
    }

    async fn refusal(&self, tls: Tls) -> String {
        let error = self.connect(tls).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }) && !error.is_retriable(), "{error:?}");
        error.to_string()
    }
}

async fn connect<F, Fut>(tls: Option<Tls>, serve: F) -> Result<Connection>
where
    F: FnOnce(DuplexStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (transport, mut streams) = transport();
    let transport = match &tls {
        Some(tls) => transport.with_tls(tls).await?,
        None => transport,
    };
    let config = Arc::new(ClientConfig { tls, ..ClientConfig::default() });
    let address = Address::parse("localhost:9093").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    tokio::spawn(serve(streams.recv().await.unwrap()));
    opening.await.unwrap()
}

fn trusting() -> Tls {
    Tls::ca_pem(fixture("ca.pem"))
}

#[tokio::test]
async fn a_broker_whose_certificate_is_good_is_spoken_to() {
    for tls12 in [false, true] {
        Broker { tls12, ..BROKER }.connect(trusting()).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_known_has_signed_is_refused() {
    for tls in [Tls::ca_pem(fixture("other_ca.pem")), Tls::webpki_roots()] {
        assert!(BROKER.refusal(tls).await.contains("name the broker's CA with Tls::ca_pem"));
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_unless_that_name_is_expected() {
    // Trap 119: the name is the host that was dialled.
    let broker = Broker { certificate: "broker_wrong_name", ..BROKER };
    let error = broker.refusal(trusting()).await;
    assert!(error.contains("elsewhere.test") && error.contains("Tls::server_name"), "{error}");
    broker.connect(trusting().server_name("elsewhere.test")).await.unwrap();
    assert!(BROKER.refusal(trusting().server_name("elsewhere.test")).await.contains("localhost"));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let error = Broker { certificate: "broker_expired", ..BROKER }.refusal(trusting()).await;
    assert!(error.contains("expired") && error.contains("new certificate"), "{error}");
}

#[tokio::test]
async fn a_broker_that_wants_a_client_certificate_says_so_and_takes_one() {
    let with = |chain: &str, key: &str| trusting().client_certificate_pem(fixture(chain), fixture(key));
    for tls12 in [false, true] {
        let broker = Broker { asks_for_certificate: true, tls12, ..BROKER };
        let error = broker.refusal(trusting()).await;
        assert!(error.contains("the broker asks for a client certificate"), "{error}");
        broker.connect(with("client.pem", "client.key")).await.unwrap();
        // A broker's certificate is not for clients.
        let error = broker.refusal(with("broker.pem", "broker.key")).await;
        assert!(error.contains("UnsupportedCertificate") || error.contains("does not accept"), "{error}");
    }
}

#[tokio::test]
async fn a_listener_without_tls_is_recognised() {
    // A broker takes the greeting for a length of hundreds of megabytes and closes; that may also be one that stops.
    let error = connect(Some(trusting()), |stream| async move { drop(stream) }).await.unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains("a listener without TLS?"), "{error}");
    let talks =
        |mut stream: DuplexStream| async move { stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap() };
    let error = connect(Some(trusting()), talks).await.unwrap_err();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn a_listener_with_tls_is_recognised_by_a_client_without() {
    let acceptor = BROKER.acceptor();
    let serve = |stream| async move { drop(acceptor.accept(stream).await) };
    let error = connect(None, serve).await.unwrap_err();
    assert!(matches!(&error, Error::Tls { .. }) && error.to_string().contains("KafkaBuilder::tls"), "{error}");
}

#[tokio::test]
async fn what_is_no_certificate_or_key_is_refused_with_what_to_do() {
    let client = |chain: &str, key: &str| trusting().client_certificate_pem(fixture(chain), fixture(key));
    for (tls, advice) in [
        (Tls::ca_pem(fixture("client.key")), "without a CERTIFICATE section"),
        (Tls::ca_pem(*b"\x30\x82\x01\x02"), "PEM, not DER or JKS"),
        (client("client.pem", "client_encrypted.key"), "openssl pkey"),
        (client("client.pem", "client.pem"), "without a PRIVATE KEY section"),
        (client("client.pem", "broker.key"), "do not go together"),
        (trusting().server_name("not a name"), "which is none"),
    ] {
        let error = transport().0.with_tls(&tls).await.unwrap_err();
        assert!(matches!(&error, Error::Config { setting: "tls", .. }), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn a_configuration_of_rustls_is_taken_as_it_is() {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fixture("ca.pem")).unwrap()).unwrap();
    let config = tokio_rustls::rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap();
    let tls = Tls::rustls(config.with_root_certificates(roots).with_no_client_auth());
    BROKER.connect(tls).await.unwrap();
}

#[tokio::test]
async fn the_roots_of_the_system_can_be_read_or_their_lack_is_said() {
    match transport().0.with_tls(&Tls::native_roots()).await {
        Ok(_) => {}
        Err(error) => assert!(error.to_string().contains("ca-certificates"), "{error}"),
    }
}

#[test]
fn keys_are_not_printed() {
    let tls = trusting().client_certificate_pem(fixture("client.pem"), fixture("client.key"));
    let shown = format!("{tls:?}");
    assert!(shown.contains("client_certificate: true") && !shown.contains("PRIVATE"), "{shown}");
}
