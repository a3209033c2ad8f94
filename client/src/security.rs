//! What a program says of TLS and SASL: plain data, which `conn` turns into handshakes.
//!
//! Nothing here turns verification off. A client that has to accept something else brings its own rustls configuration,
//! where that is written out ([`Tls::rustls`]).

#[cfg(feature = "sasl")]
mod sasl;
#[cfg(feature = "sasl")]
mod scram;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "sasl")]
pub(crate) use self::sasl::Credentials;
#[cfg(feature = "sasl")]
pub use self::sasl::{OAuthToken, Sasl};
#[cfg(feature = "sasl")]
pub use self::scram::ScramMechanism;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
#[cfg(feature = "tls")]
pub(crate) use self::tls::{ClientCertificate, Roots, Settings};
