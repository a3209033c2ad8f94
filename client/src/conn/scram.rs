//! SCRAM of the client's side, pure: messages in, messages out (RFC 5802, RFC 7677).
//!
//! ```text
//! client  n,,n=user,r=nonce
//! server  r=nonce+more,s=salt,i=iterations
//! client  c=biws,r=nonce+more,p=proof
//! server  v=signature, or e=error
//! ```
//!
//! There is no channel binding and no SASLprep, as in Kafka (`ScramSaslClient`, `ScramFormatter.normalize`).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::security::ScramMechanism;

/// The header that says that there is no channel binding, and how it is repeated in base64.
const GS2_HEADER: &str = "n,,";
const CHANNEL_BINDING: &str = "c=biws";

const MIN_ITERATIONS: u32 = ScramMechanism::MIN_ITERATIONS;
/// Kafka creates fewer ([`ScramMechanism::MAX_ITERATIONS`]). Others may, but a broker must not take our processor for hours.
const MAX_ITERATIONS: u32 = 1 << 20;

/// A conversation of which the first message was sent.
#[derive(Debug)]
pub(crate) struct ClientFirst {
    hash: ScramMechanism,
    nonce: String,
    bare: String,
}

/// The server's first message, checked. Deriving the keys takes milliseconds.
#[derive(Debug)]
pub(crate) struct Challenge {
    hash: ScramMechanism,
    /// `client-first-bare , server-first , client-final-without-proof` (RFC 5802, section 3).
    auth_message: String,
    without_proof: String,
    salt: Vec<u8>,
    iterations: u32,
}

/// What is left to be done: the broker has to show that it knows the password as well.
#[derive(Debug)]
pub(crate) struct ClientFinal {
    pub(crate) message: String,
    hash: ScramMechanism,
    server_key: Vec<u8>,
    auth_message: String,
}

impl ClientFirst {
    /// `nonce` is printable and has no comma.
    pub(crate) fn new(hash: ScramMechanism, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, bare: format!("n={user},r={nonce}"), nonce }
    }

    pub(crate) fn message(&self) -> String {
        format!("{GS2_HEADER}{}", self.bare)
    }

    /// Reads `r=...,s=...,i=...`.
    pub(crate) fn challenged(self, server_first: &[u8]) -> Result<Challenge, String> {
        let server_first = str::from_utf8(server_first).map_err(|_| "the server's first message is not text")?;
        let mut fields = server_first.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name));
        let (Some(nonce), Some(salt), Some(iterations)) = (field("r="), field("s="), field("i=")) else {
            // An extension that must be understood (`m=`) would come first, and none is.
            return Err(format!("the server's first message is {server_first:?}"));
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's nonce does not go on from ours: somebody may be in between".to_owned());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the server's salt is not base64")?;
        let iterations: u32 = iterations.parse().map_err(|_| "the server's iteration count is no number")?;
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(format!(
                "the server asks for {iterations} iterations, not {MIN_ITERATIONS} to {MAX_ITERATIONS}"
            ));
        }
        let without_proof = format!("{CHANNEL_BINDING},r={nonce}");
        let auth_message = format!("{},{server_first},{without_proof}", self.bare);
        Ok(Challenge { hash: self.hash, auth_message, without_proof, salt, iterations })
    }
}

impl Challenge {
    /// Proves the password.
    pub(crate) fn answer(self, password: &str) -> ClientFinal {
        let Self { hash, auth_message, without_proof, salt, iterations } = self;
        let salted_password = hash.salted(password.as_bytes(), &salt, iterations);
        let client_key = hash.hmac(&salted_password, b"Client Key");
        let client_signature = hash.hmac(&hash.digest(&client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&client_signature).map(|(key, signature)| key ^ signature).collect();
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        let server_key = hash.hmac(&salted_password, b"Server Key");
        ClientFinal { message, hash, server_key, auth_message }
    }
}

impl ClientFinal {
    /// Checks `v=signature`: a broker that does not know the password cannot make it.
    pub(crate) fn verify(&self, server_final: &[u8]) -> Result<(), String> {
        let server_final = str::from_utf8(server_final).map_err(|_| "the server's final message is not text")?;
        if let Some(error) = server_final.strip_prefix("e=") {
            return Err(format!("the server says {error:?}"));
        }
        let signature = server_final.strip_prefix("v=").map(|rest| rest.split(',').next().unwrap_or_default());
        let signature = signature.and_then(|signature| BASE64.decode(signature).ok());
        let signature = signature.ok_or_else(|| format!("the server's final message is {server_final:?}"))?;
        if self.hash.is_hmac(&self.server_key, self.auth_message.as_bytes(), &signature) {
            Ok(())
        } else {
            Err("the server's signature is wrong: it does not know the password and is not your broker".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn first(hash: ScramMechanism) -> ClientFirst {
        ClientFirst::new(hash, "user", NONCE.to_owned())
    }

    #[test]
    fn the_conversation_of_rfc_7677() {
        let first = first(ScramMechanism::Sha256);
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let last = first.challenged(SERVER_FIRST.as_bytes()).unwrap().answer("pencil");
        assert_eq!(
            last.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        last.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    }

    #[test]
    fn the_same_with_sha_512() {
        // No RFC has a vector; these were computed with Python's hashlib.pbkdf2_hmac and hmac.
        let last = first(ScramMechanism::Sha512).challenged(SERVER_FIRST.as_bytes()).unwrap().answer("pencil");
        let (_, proof) = last.message.rsplit_once(",p=").unwrap();
        assert_eq!(proof, SHA512_PROOF);
        last.verify(format!("v={SHA512_SIGNATURE}").as_bytes()).unwrap();
    }

    const SHA512_PROOF: &str =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SHA512_SIGNATURE: &str =
        "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    #[test]
    fn a_broker_that_does_not_know_the_password_is_found_out() {
        // Trap 129: the server's signature is half of the protocol.
        let last = first(ScramMechanism::Sha256).challenged(SERVER_FIRST.as_bytes()).unwrap().answer("pencil");
        for forged in ["v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "v=!", "", "e=other-error", "x=1"] {
            last.verify(forged.as_bytes()).unwrap_err();
        }
        assert!(last.verify(b"e=unknown-user").unwrap_err().contains("unknown-user"));
        last.verify(b"\xff").unwrap_err();
    }

    #[test]
    fn a_weak_or_foreign_challenge_is_refused() {
        for (server_first, problem) in [
            ("r=rOprNGfwEbeRWgbNEkqOmore,s=AAAA,i=4095", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOmore,s=AAAA,i=4294967295", "iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOmore,s=AAAA,i=many", "no number"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", "nonce"),
            ("r=another,s=AAAA,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqOmore,s=?,i=4096", "base64"),
            ("m=must,r=rOprNGfwEbeRWgbNEkqOmore,s=AAAA,i=4096", "first message"),
            ("", "first message"),
        ] {
            let refused = first(ScramMechanism::Sha256).challenged(server_first.as_bytes()).unwrap_err();
            assert!(refused.contains(problem), "{server_first}: {refused}");
        }
        first(ScramMechanism::Sha256).challenged(b"\xff").unwrap_err();
    }

    #[test]
    fn commas_and_equals_signs_of_a_name_are_escaped() {
        // RFC 5802, section 5.1: saslname.
        let first = ClientFirst::new(ScramMechanism::Sha256, "a=b,c", "x".to_owned());
        assert_eq!(first.message(), "n,,n=a=3Db=2Cc,r=x");
    }
}
