//! The mechanisms of SCRAM, and what each hashes (RFC 5802, RFC 7677).

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// A mechanism by which a client proves its password (RFC 5802), by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

impl ScramMechanism {
    /// The fewest iterations that Kafka takes, for either (`ScramMechanism`). Fewer make a stolen conversation cheap to search.
    pub(crate) const MIN_ITERATIONS: u32 = 4096;
    /// The most iterations that Kafka takes, for either.
    pub(crate) const MAX_ITERATIONS: u32 = 16_384;

    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    pub(crate) fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, bytes).finalize().into_bytes().to_vec(),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, bytes).finalize().into_bytes().to_vec(),
        }
    }

    /// Whether `tag` is the HMAC, in a time that does not tell where it differs.
    pub(crate) fn is_hmac(self, key: &[u8], bytes: &[u8], tag: &[u8]) -> bool {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, bytes).verify_slice(tag).is_ok(),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, bytes).verify_slice(tag).is_ok(),
        }
    }

    /// `Hi(password, salt, i)`, which is PBKDF2 with one block.
    pub(crate) fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Self::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        }
    }
}

/// The mechanism's name, as in `sasl.mechanism`.
impl fmt::Display for ScramMechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(super::sasl::Mechanism::from(*self).name())
    }
}

fn keyed<M: Mac + hmac::digest::KeyInit>(key: &[u8], bytes: &[u8]) -> M {
    let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac
}
