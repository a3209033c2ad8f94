//! Whom a TLS connection trusts and as whom it introduces itself. `conn/tls.rs` reads the PEM and shakes hands.

use std::{fmt, sync::Arc};

/// How connections are encrypted (`security.protocol` `SSL` or `SASL_SSL`), by rustls with TLS 1.2 and 1.3.
///
/// The broker's certificate is always verified: its chain up to a root, its dates, and its name, which is the host that is
/// dialled (`ssl.endpoint.identification.algorithm=https`). Everything is read and checked by
/// [`connect`](crate::KafkaBuilder::connect).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use async_kafka::{Kafka, Tls};
///
/// let tls = Tls::ca_pem(std::fs::read("ca.pem")?);
/// let tls = tls.client_certificate_pem(std::fs::read("app.pem")?, std::fs::read("app.key")?);
/// let kafka = Kafka::builder("b1:9093").tls(tls).connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    pub(crate) settings: Settings,
}

/// Either the parts of a configuration, or a whole one.
#[derive(Clone)]
pub(crate) enum Settings {
    Parts { roots: Roots, client: Option<ClientCertificate>, server_name: Option<String> },
    Rustls { config: Arc<tokio_rustls::rustls::ClientConfig>, server_name: Option<String> },
}

/// A chain of certificates and the key of the first, in PEM.
#[derive(Clone)]
pub(crate) struct ClientCertificate {
    pub(crate) chain: Arc<[u8]>,
    pub(crate) key: Arc<[u8]>,
}

/// Who may sign brokers' certificates.
#[derive(Clone)]
pub(crate) enum Roots {
    Native,
    WebPki,
    Pem(Arc<[u8]>),
}

impl Tls {
    /// Trusts what the operating system trusts (Java: the JVM's `cacerts`; librdkafka: OpenSSL's directory).
    #[must_use]
    pub fn native_roots() -> Self {
        Self::new(Roots::Native)
    }

    /// Trusts the roots of Mozilla, which are compiled in: for images that have none of their own.
    #[must_use]
    pub fn webpki_roots() -> Self {
        Self::new(Roots::WebPki)
    }

    /// Trusts these certificates and no others (`ssl.truststore.certificates`, librdkafka's `ssl.ca.pem`). In PEM, one or
    /// more.
    #[must_use]
    pub fn ca_pem(pem: impl Into<Vec<u8>>) -> Self {
        Self::new(Roots::Pem(pem.into().into()))
    }

    /// A whole configuration of rustls, for what has no method here: other roots, a hardware key, a verifier of one's own,
    /// revocation lists. A client certificate is then in it as well.
    #[must_use]
    pub fn rustls(config: impl Into<Arc<tokio_rustls::rustls::ClientConfig>>) -> Self {
        Self { settings: Settings::Rustls { config: config.into(), server_name: None } }
    }

    fn new(roots: Roots) -> Self {
        Self { settings: Settings::Parts { roots, client: None, server_name: None } }
    }

    /// Introduces the client by a certificate (`ssl.keystore.certificate.chain`, `ssl.keystore.key`; librdkafka's
    /// `ssl.certificate.pem`, `ssl.key.pem`), for brokers with `ssl.client.auth`. Both in PEM: the chain with its own
    /// certificate first, the key as PKCS#8, PKCS#1 or SEC1, not encrypted.
    ///
    /// # Panics
    ///
    /// After [`Tls::rustls`], which brings its own.
    #[must_use]
    pub fn client_certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        match &mut self.settings {
            Settings::Parts { client, .. } => {
                *client = Some(ClientCertificate { chain: chain.into().into(), key: key.into().into() });
            }
            Settings::Rustls { .. } => panic!("a configuration of rustls brings its own client certificate"),
        }
        self
    }

    /// The name or address that the brokers' certificates have to bear, if it is not the host that is dialled: behind a
    /// tunnel, or where all brokers share one certificate. Still verified, and sent as SNI. Default: the host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        match &mut self.settings {
            Settings::Parts { server_name, .. } | Settings::Rustls { server_name, .. } => {
                *server_name = Some(name.into());
            }
        }
        self
    }
}

impl fmt::Debug for Tls {
    /// Says what is trusted, and never a key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (roots, client, server_name) = match &self.settings {
            Settings::Parts { roots, client, server_name } => (Some(roots), client.is_some(), server_name),
            Settings::Rustls { server_name, .. } => (None, false, server_name),
        };
        let roots = match roots {
            Some(Roots::Native) => "native",
            Some(Roots::WebPki) => "webpki",
            Some(Roots::Pem(_)) => "pem",
            None => "rustls",
        };
        let mut shown = formatter.debug_struct("Tls");
        shown.field("roots", &roots).field("client_certificate", &client).field("server_name", server_name).finish()
    }
}
