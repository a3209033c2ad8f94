//! TLS on top of whatever was dialled, by rustls with ring, and what its errors mean for whoever reads them.
//!
//! There is no session state of ours: rustls resumes sessions by the one configuration that all connections share.

use std::{io, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject},
    },
};

use super::transport::{Address, Stream};
use crate::{
    error::{Error, Result},
    security::{ClientCertificate, Roots, Settings, Tls},
};

/// What makes TLS streams out of streams.
pub(crate) struct Connector {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
    has_client_certificate: bool,
}

impl Connector {
    /// Reads what the program said. Roots of the system are many files, which are read outside of the runtime's threads.
    pub(crate) async fn new(tls: &Tls) -> Result<Self> {
        let tls = tls.clone();
        let built = tokio::task::spawn_blocking(move || Self::build(&tls)).await;
        built.unwrap_or_else(|error| Err(problem(format!("could not be read: {error}"))))
    }

    fn build(tls: &Tls) -> Result<Self> {
        let (config, server_name, has_client_certificate) = match &tls.settings {
            Settings::Parts { roots, client, server_name } => {
                (Arc::new(configuration(roots, client.as_ref())?), server_name, client.is_some())
            }
            Settings::Rustls { config, server_name } => {
                (Arc::clone(config), server_name, config.client_auth_cert_resolver.has_certs())
            }
        };
        let server_name = server_name.clone().map(|name| {
            ServerName::try_from(name.clone())
                .map_err(|_| problem(format!("has the server name {name:?}, which is none")))
        });
        Ok(Self { connector: config.into(), server_name: server_name.transpose()?, has_client_certificate })
    }

    /// Shakes hands. Dropping the future drops the stream.
    pub(crate) async fn connect(&self, address: &Address, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(address.host.to_string()).map_err(|_| Error::Tls {
                address: address.to_string().into(),
                reason: "the host is neither a name nor an address, so no certificate can bear it".into(),
            })?,
        };
        match self.connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.explain(address, &error).unwrap_or_else(|| {
                let closed = error.kind() == io::ErrorKind::UnexpectedEof;
                let hint = if closed { "; is this a listener without TLS?" } else { "" };
                let source = io::Error::new(error.kind(), format!("during the TLS handshake: {error}{hint}"));
                Error::Connect { address: address.to_string().into(), source: Arc::new(source) }
            })),
        }
    }

    /// What TLS has to say of an error of a stream, if anything. With TLS 1.3 a broker judges our certificate after our side
    /// of the handshake is over, so it comes when the first answer is read.
    pub(crate) fn explain(&self, address: &Address, error: &io::Error) -> Option<Error> {
        let error: &TlsError = error.get_ref()?.downcast_ref()?;
        let reason = match self.advice(error) {
            Some(advice) => format!("{error}: {advice}"),
            None => error.to_string(),
        };
        Some(Error::Tls { address: address.to_string().into(), reason: reason.into() })
    }

    fn advice(&self, error: &TlsError) -> Option<&'static str> {
        Some(match error {
            TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "none of the roots signed it; name the broker's CA with Tls::ca_pem (ssl.truststore, ssl.ca.location)"
            }
            TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                "the broker needs a new certificate, or this machine's clock is wrong"
            }
            TlsError::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => "this machine's clock is wrong, or the broker's certificate was made too early",
            TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => {
                "connect by a name that is in the broker's certificate, or say with Tls::server_name which one it bears; \
                 after the bootstrap the name is that of the broker's advertised.listeners"
            }
            TlsError::InvalidMessage(_) => "what answers here does not speak TLS; is this a listener without TLS?",
            TlsError::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::HandshakeFailure,
            ) if !self.has_client_certificate => {
                "the broker asks for a client certificate (ssl.client.auth=required); give one with \
                 Tls::client_certificate_pem (ssl.keystore, ssl.certificate.location)"
            }
            TlsError::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA,
            ) => "the broker does not accept the client's certificate; it has to be signed by its ssl.truststore",
            TlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
                "the broker speaks neither TLS 1.2 nor 1.3 (ssl.enabled.protocols)"
            }
            _ => return None,
        })
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connector").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn configuration(roots: &Roots, client: Option<&ClientCertificate>) -> Result<ClientConfig> {
    // ring is named, because the program may have installed another provider or two may be compiled in.
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| problem(error.to_string()))?.with_root_certificates(trusted(roots)?);
    let Some(ClientCertificate { chain, key }) = client else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(chain, "client certificate")?;
    builder
        .with_client_auth_cert(chain, private_key(key)?)
        .map_err(|error| problem(format!("has a client certificate and a key that do not go together: {error}")))
}

fn trusted(roots: &Roots) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::WebPki => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Native => {
            let found = rustls_native_certs::load_native_certs();
            let (usable, _) = store.add_parsable_certificates(found.certs);
            if usable == 0 {
                let errors = found.errors.iter().map(|error| format!("; {error}")).collect::<String>();
                let instead = "install ca-certificates, or use Tls::webpki_roots or Tls::ca_pem";
                return Err(problem(format!("finds no roots on this system: {instead}{errors}")));
            }
        }
        Roots::Pem(pem) => {
            for certificate in certificates(pem, "CA certificate")? {
                store
                    .add(certificate)
                    .map_err(|error| problem(format!("has a CA certificate that is none: {error}")))?;
            }
        }
    }
    Ok(store)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(problem(format!("has a {what} without a CERTIFICATE section: it has to be PEM, not DER or JKS"))),
        Err(error) => Err(problem(format!("has a {what} that is not PEM: {error}"))),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let encrypted = String::from_utf8_lossy(pem).contains("ENCRYPTED");
        problem(match error {
            _ if encrypted => {
                "has a client key that is encrypted: decrypt it with `openssl pkey -in KEY -out PLAIN`".to_owned()
            }
            pem::Error::NoItemsFound => "has a client key without a PRIVATE KEY section: it has to be PEM".to_owned(),
            error => format!("has a client key that is not PEM: {error}"),
        })
    })
}

fn problem(reason: String) -> Error {
    Error::config("tls", reason)
}
