//! Connects with TLS and a login: `cargo run --example tls_and_sasl`. Without an address it says what it wants.
//!
//! ```sh
//! KAFKA_BOOTSTRAP=b1:9093 KAFKA_CA=ca.pem KAFKA_USER=app KAFKA_PASSWORD=secret cargo run --example tls_and_sasl
//! ```

use std::{env, fs};

use async_kafka::{Error, Kafka, Sasl, Tls};

const HOW: &str = "\
This example wants a broker with a SASL_SSL listener:

  KAFKA_BOOTSTRAP  its host:port
  KAFKA_USER       as whom to log in, by SCRAM-SHA-512
  KAFKA_PASSWORD   with what
  KAFKA_CA         a PEM file with the CA that signed its certificate; left out, the system's roots are trusted
  KAFKA_CERT and
  KAFKA_KEY        PEM files with a client certificate, if the broker asks for one";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(bootstrap) = env::var("KAFKA_BOOTSTRAP") else {
        println!("{HOW}");
        return Ok(());
    };
    let mut tls = match env::var("KAFKA_CA") {
        Ok(path) => Tls::ca_pem(fs::read(path)?),
        Err(_) => Tls::native_roots(),
    };
    if let (Ok(chain), Ok(key)) = (env::var("KAFKA_CERT"), env::var("KAFKA_KEY")) {
        tls = tls.client_certificate_pem(fs::read(chain)?, fs::read(key)?);
    }
    let mut builder = Kafka::builder(bootstrap).tls(tls);
    if let (Ok(user), Ok(password)) = (env::var("KAFKA_USER"), env::var("KAFKA_PASSWORD")) {
        // A token instead: Sasl::oauthbearer(|| async { Ok::<_, MyError>(OAuthToken::new(my_issuer().await?)) })
        builder = builder.sasl(Sasl::scram_sha512(user, password));
    }
    match builder.connect().await {
        Ok(_) => println!("connected: encrypted, and logged in"),
        // Both say what to do, and trying again would not help.
        Err(error @ (Error::Tls { .. } | Error::Authentication { .. })) => println!("not let in: {error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
