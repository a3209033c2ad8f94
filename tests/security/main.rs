//! TLS and logins of the client against a real Kafka: what comes through, and what is said when it does not; and who may do
//! what there.
//!
//! `just security-kafka` starts a Kafka with the listeners that these tests name, by the certificates of fixtures/tls, with
//! sessions of a second and a half, and with an authorizer that denies only what an ACL is about: whoever logs in nowhere
//! (`User:ANONYMOUS`, the brokers' own listener) may do everything. Without one each test says that it was skipped: the client's own tests in
//! `client/src/conn/tests` have the same handshakes against scripted brokers.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod access;
mod refusals;

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_kafka::{Kafka, KafkaBuilder, OAuthToken, Offset, Record, Sasl, Tls};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use system_tests::{raw::PATIENCE, world::unique};
use tokio::{net::TcpStream, time::Instant};

/// The user that the recipe creates.
const USER: &str = "app";
const PASSWORD: &str = "app-secret";

/// The address of a listener, if there is a real Kafka.
fn listener(name: &str) -> Option<String> {
    let address = env::var(format!("KAFKA_LISTENER_{name}")).ok();
    if address.is_none() {
        println!("SKIPPED: no KAFKA_LISTENER_{name}; `just security-kafka` starts one");
    }
    address
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tls").join(name)).unwrap()
}

fn trusting() -> Tls {
    Tls::ca_pem(fixture("ca.pem"))
}

fn with_client_certificate() -> Tls {
    trusting().client_certificate_pem(fixture("client.pem"), fixture("client.key"))
}

/// A token that Kafka's `OAuthBearerUnsecuredValidatorCallbackHandler` takes: it is not signed.
fn unsecured_token(lifetime: Duration) -> String {
    #[expect(clippy::disallowed_methods, reason = "the broker compares the token with the time of day")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let claims = format!(
        "{{\"sub\":\"{USER}\",\"iat\":{},\"exp\":{}}}",
        now.as_secs_f64() - 1.0,
        (now + lifetime).as_secs_f64()
    );
    format!("{}.{}.", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(claims))
}

fn bearer() -> Sasl {
    Sasl::oauthbearer(|| async { Ok::<_, std::io::Error>(OAuthToken::new(unsecured_token(Duration::from_secs(60)))) })
}

fn every_login() -> [Sasl; 4] {
    [Sasl::plain(USER, PASSWORD), Sasl::scram_sha256(USER, PASSWORD), Sasl::scram_sha512(USER, PASSWORD), bearer()]
}

/// Writes a record over the connections of a client and reads it back.
async fn round_trip(builder: KafkaBuilder) {
    let kafka = builder.connect().await.unwrap();
    let topic = unique("security");
    let producer = kafka.producer().build().await.unwrap();
    let stored = producer.send(Record::to(topic.as_str()).value("over here")).await.unwrap().await.unwrap();
    let consumer = kafka.assigned_consumer().assign(topic.as_str(), stored.partition, Offset::Earliest);
    let consumer = consumer.build().await.unwrap();
    let batch = tokio::time::timeout(PATIENCE, consumer.next_batch()).await.unwrap().unwrap().unwrap();
    let values: Vec<_> = batch.records().map(|record| record.value().unwrap().to_vec()).collect();
    assert_eq!(values, [b"over here"]);
}

#[tokio::test]
async fn tls_with_and_without_a_client_certificate() {
    let (Some(tls), Some(mutual)) = (listener("TLS"), listener("MUTUAL")) else { return };
    round_trip(Kafka::builder(tls.clone()).tls(trusting())).await;
    // By name as well as by address; the brokers' own address in the metadata is 127.0.0.1.
    round_trip(Kafka::builder(tls.replace("127.0.0.1", "localhost")).tls(trusting())).await;
    round_trip(Kafka::builder(mutual).tls(with_client_certificate())).await;
}

#[tokio::test]
async fn every_mechanism_logs_in() {
    let Some(address) = listener("SASL") else { return };
    for sasl in every_login() {
        round_trip(Kafka::builder(address.clone()).sasl(sasl)).await;
    }
}

#[tokio::test]
async fn every_mechanism_logs_in_over_tls() {
    let Some(address) = listener("SASL_TLS") else { return };
    for sasl in every_login() {
        round_trip(Kafka::builder(address.clone()).tls(trusting()).sasl(sasl)).await;
    }
}

/// A broker ends the connection of a session that is over at the next request (KIP-368): so if none is dialled anew for as
/// long as several sessions last, each was renewed in time.
#[tokio::test]
async fn sessions_are_renewed_on_the_connections_that_are_there() {
    let Some(address) = listener("SASL") else { return };
    let session = Duration::from_millis(1500);
    let one = |sasl: Sasl| {
        let address = address.clone();
        async move {
            let dials = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&dials);
            let mechanism = sasl.mechanism();
            let kafka = Kafka::builder(address).sasl(sasl).dial(move |address| {
                counted.fetch_add(1, Ordering::Relaxed);
                async move { TcpStream::connect((&*address.host, address.port)).await }
            });
            let kafka = kafka.connect().await.unwrap();
            let producer = kafka.producer().build().await.unwrap();
            let topic = unique("renewed");
            let send = || async { producer.send(Record::to(topic.as_str()).value("x")).await.unwrap().await.unwrap() };
            let first = send().await;
            let (dialled, begun) = (dials.load(Ordering::Relaxed), Instant::now());
            let mut sent = 1;
            while begun.elapsed() < 3 * session {
                send().await;
                sent += 1;
            }
            assert_eq!(dials.load(Ordering::Relaxed), dialled, "{mechanism}: a connection was lost");
            let last = send().await;
            assert_eq!(last.offset.unwrap() - first.offset.unwrap(), sent, "{mechanism}: lost or doubled");
        }
    };
    let [plain, scram_256, scram_512, bearer] = every_login();
    tokio::join!(one(plain), one(scram_256), one(scram_512), one(bearer));
}
