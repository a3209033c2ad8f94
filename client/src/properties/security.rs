//! What properties say of TLS and the login, put together when all of them are read.
//!
//! The files that they name are read here: PEM, as a program that starts reads its own configuration.

use super::{
    PropertyNote, PropertyNoteKind,
    values::{Taken, word},
};
#[cfg(feature = "sasl")]
use crate::security::Sasl;
#[cfg(feature = "tls")]
use crate::security::Tls;
use crate::{
    config::ClientConfig,
    error::{Error, Result},
};

/// The words of the properties.
#[derive(Default)]
pub(super) struct Security {
    protocol: Protocol,
    mechanism: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) ca: Pem,
    pub(super) chain: Pem,
    pub(super) key: Pem,
    pub(super) truststore: Option<String>,
    pub(super) truststore_type: Option<String>,
    pub(super) keystore: Option<String>,
    pub(super) keystore_type: Option<String>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Security").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// `security.protocol`: whether there is TLS, and whether there is a login.
#[derive(Clone, Copy, Debug, Default)]
struct Protocol {
    tls: bool,
    sasl: bool,
}

/// PEM that is given itself, or in a file.
#[derive(Default)]
pub(super) struct Pem {
    text: Option<String>,
    file: Option<String>,
}

impl Pem {
    pub(super) fn text(&mut self, value: &str) -> Taken {
        self.text = Some(value.to_owned());
        Ok(())
    }

    pub(super) fn file(&mut self, value: &str) -> Taken {
        self.file = Some(value.to_owned());
        Ok(())
    }

    fn is_given(&self) -> bool {
        self.text.is_some() || self.file.is_some()
    }

    #[cfg(feature = "tls")]
    fn read(&self, property: &'static str) -> Result<Option<Vec<u8>>> {
        match (&self.text, &self.file) {
            (Some(text), _) => Ok(Some(on_lines(text).into_bytes())),
            (None, Some(path)) => file(property, path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

impl Security {
    pub(super) fn protocol(&mut self, value: &str) -> Taken {
        let protocol = |tls, sasl| Protocol { tls, sasl };
        self.protocol = word(
            value,
            &[
                ("PLAINTEXT", protocol(false, false)),
                ("SSL", protocol(true, false)),
                ("SASL_PLAINTEXT", protocol(false, true)),
                ("SASL_SSL", protocol(true, true)),
            ],
        )?;
        Ok(())
    }

    pub(super) fn mechanism(&mut self, value: &str) -> Taken {
        self.mechanism = Some(value.to_ascii_uppercase());
        Ok(())
    }

    /// `org.apache.kafka.common.security.plain.PlainLoginModule required username="app" password="secret";`
    pub(super) fn jaas(&mut self, value: &str) -> Taken {
        let problem = "has to be like ...PlainLoginModule required username=\"app\" password=\"secret\";";
        let line = value.strip_suffix(';').ok_or_else(|| format!("{problem} (the semicolon is missing)"))?;
        let (module, options) = line.trim_start().split_once(char::is_whitespace).unwrap_or((line, ""));
        match module.rsplit('.').next().unwrap_or_default() {
            "PlainLoginModule" | "ScramLoginModule" => {}
            "OAuthBearerLoginModule" => return Ok(()),
            _ => {
                return Err(format!(
                    "names the module {module}; PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule are known"
                ));
            }
        }
        for (name, value) in jaas_options(options).ok_or(problem)? {
            match name.as_str() {
                "username" => self.user = Some(value),
                "password" => self.password = Some(value),
                "tokenauth" if value == "true" => {
                    return Err("has tokenauth; delegation tokens are not known here".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes TLS and login of it. Returns whether a source of tokens is still wanted.
    pub(super) fn finish(self, client: &mut ClientConfig, notes: &mut Vec<PropertyNote>) -> Result<bool> {
        let has_tls =
            self.ca.is_given() || self.chain.is_given() || self.truststore.is_some() || self.keystore.is_some();
        let has_sasl = self.user.is_some() || self.password.is_some() || self.mechanism.is_some();
        let note = |text: &str| PropertyNote {
            name: "security.protocol".to_owned(),
            kind: PropertyNoteKind::Different,
            text: text.to_owned(),
        };
        if has_tls && !self.protocol.tls {
            notes.push(note("it asks for no TLS, so certificates and roots have no effect; is SSL or SASL_SSL meant?"));
        }
        if has_sasl && !self.protocol.sasl {
            notes.push(note("it asks for no login, so user and mechanism have no effect; is SASL_SSL meant?"));
        }
        if self.protocol.tls {
            self.tls(client)?;
        }
        if self.protocol.sasl { self.sasl(client, notes) } else { Ok(false) }
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self, _: &mut ClientConfig) -> Result<()> {
        Err(Error::config(
            "security.protocol",
            "asks for TLS, which is not compiled in: enable the feature `tls` of async-kafka",
        ))
    }

    #[cfg(feature = "tls")]
    fn tls(&self, client: &mut ClientConfig) -> Result<()> {
        let ca = match &self.truststore {
            Some(path) => {
                only_pem(
                    "ssl.truststore.type",
                    self.truststore_type.as_deref(),
                    "keytool -exportcert -rfc -alias CA -keystore STORE",
                )?;
                Some(file("ssl.truststore.location", path)?)
            }
            None => self.ca.read("ssl.ca.location")?,
        };
        let mut tls = ca.map_or_else(Tls::native_roots, Tls::ca_pem);
        let client_certificate = match &self.keystore {
            Some(path) => {
                only_pem("ssl.keystore.type", self.keystore_type.as_deref(), "openssl pkcs12 -nodes -in STORE")?;
                // Java's PEM keystore has the key and the chain in one file.
                let store = file("ssl.keystore.location", path)?;
                Some((store.clone(), store))
            }
            None => match (self.chain.read("ssl.certificate.location")?, self.key.read("ssl.key.location")?) {
                (Some(chain), Some(key)) => Some((chain, key)),
                (None, None) => None,
                (Some(_), None) => {
                    return Err(Error::config("ssl.keystore.key", "is missing: a certificate needs its key"));
                }
                (None, Some(_)) => {
                    return Err(Error::config(
                        "ssl.keystore.certificate.chain",
                        "is missing: a key needs its certificate",
                    ));
                }
            },
        };
        if let Some((chain, key)) = client_certificate {
            tls = tls.client_certificate_pem(chain, key);
        }
        client.tls = Some(tls);
        Ok(())
    }

    #[cfg(not(feature = "sasl"))]
    fn sasl(self, _: &mut ClientConfig, _: &mut Vec<PropertyNote>) -> Result<bool> {
        Err(Error::config(
            "security.protocol",
            "asks for a login, which is not compiled in: enable the feature `sasl` of async-kafka",
        ))
    }

    #[cfg(feature = "sasl")]
    fn sasl(self, client: &mut ClientConfig, notes: &mut Vec<PropertyNote>) -> Result<bool> {
        let mechanism = self.mechanism.as_deref().unwrap_or("GSSAPI");
        let make: fn(String, String) -> Sasl = match mechanism {
            "PLAIN" => Sasl::plain,
            "SCRAM-SHA-256" => Sasl::scram_sha256,
            "SCRAM-SHA-512" => Sasl::scram_sha512,
            "OAUTHBEARER" => {
                notes.push(PropertyNote {
                    name: "sasl.mechanism".to_owned(),
                    kind: PropertyNoteKind::Different,
                    text: "tokens come from a function: give it with KafkaBuilder::sasl(Sasl::oauthbearer(..))"
                        .to_owned(),
                });
                return Ok(true);
            }
            "GSSAPI" => {
                let problem = "is GSSAPI, which is the default of the other clients too: there is no Kerberos here, use PLAIN, \
                               SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
                return Err(Error::config("sasl.mechanism", problem));
            }
            other => {
                let problem = format!("is {other:?}: use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER");
                return Err(Error::config("sasl.mechanism", problem));
            }
        };
        let (Some(user), Some(password)) = (self.user, self.password) else {
            let problem =
                format!("asks for a login by {mechanism}: give sasl.username and sasl.password, or sasl.jaas.config");
            return Err(Error::config("security.protocol", problem));
        };
        client.sasl = Some(make(user, password));
        Ok(false)
    }
}

#[cfg(feature = "tls")]
fn only_pem(property: &'static str, kind: Option<&str>, convert: &str) -> Result<()> {
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case("PEM") => Ok(()),
        kind => {
            let kind = kind.unwrap_or("JKS, the default of Java");
            Err(Error::config(
                property,
                format!("is {kind}; only PEM is read here: make it with `{convert}`, and say PEM"),
            ))
        }
    }
}

#[cfg(feature = "tls")]
fn file(property: &'static str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::config(property, format!("names {path}, which cannot be read: {error}")))
}

/// PEM whose lines were joined with spaces, as in a Java properties file, on lines again.
#[cfg(feature = "tls")]
fn on_lines(text: &str) -> String {
    if text.contains('\n') {
        return text.to_owned();
    }
    let mut lines = String::new();
    for (index, part) in text.split("-----").enumerate() {
        if index % 2 == 1 {
            // A label, which has spaces of its own.
            lines.push_str(&format!("-----{part}-----\n"));
        } else {
            part.split_whitespace().for_each(|line| lines.push_str(&format!("{line}\n")));
        }
    }
    lines
}

/// `required name="value" name=value ...`; `None` if it is not like that.
fn jaas_options(text: &str) -> Option<Vec<(String, String)>> {
    let mut options = Vec::new();
    let mut rest = text.trim_start();
    rest = rest.strip_prefix("required").or_else(|| rest.strip_prefix("requisite")).unwrap_or(rest).trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        options.push((name.trim().to_owned(), value));
        rest = after.trim_start();
    }
    Some(options)
}

/// Until the next quote, where a backslash takes the next letter as it is.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jaas_line_is_read_as_java_reads_it() {
        let mut security = Security::default();
        let line = "org.apache.kafka.common.security.scram.ScramLoginModule required\n  username=\"app\" \
                    password=\"a \\\"quoted\\\" one; with = signs\" extra=1;";
        security.jaas(line).unwrap();
        assert_eq!(security.user.unwrap(), "app");
        assert_eq!(security.password.unwrap(), "a \"quoted\" one; with = signs");
        for (line, problem) in [
            ("PlainLoginModule required username=\"app\"", "semicolon"),
            ("com.sun.security.auth.module.Krb5LoginModule required;", "Krb5LoginModule"),
            ("PlainLoginModule required username=\"app;", "has to be like"),
            ("PlainLoginModule required username;", "has to be like"),
            ("ScramLoginModule required tokenauth=\"true\";", "delegation"),
        ] {
            let refused = Security::default().jaas(line).unwrap_err();
            assert!(refused.contains(problem), "{line}: {refused}");
        }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn pem_on_one_line_gets_its_lines_back() {
        let one = "-----BEGIN CERTIFICATE----- MIIB AAAA -----END CERTIFICATE-----";
        assert_eq!(on_lines(one), "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n");
    }
}
