//! Each way in which a connection does not come about, and that its error says what to do.

use async_kafka::Error;

use super::*;

/// Why a client does not connect. Errors that time may heal are tried again for two seconds.
async fn refusal(builder: KafkaBuilder) -> Error {
    let begun = Instant::now();
    let error = builder.api_timeout(Duration::from_secs(2)).connect().await.unwrap_err();
    if !error.is_retriable() {
        assert!(begun.elapsed() < Duration::from_secs(2), "what does not heal is said at once: {error}");
    }
    error
}

async fn no_tls(builder: KafkaBuilder) -> String {
    let error = refusal(builder).await;
    assert!(matches!(error, Error::Tls { .. }) && !error.is_retriable(), "{error:?}");
    error.to_string()
}

async fn no_login(builder: KafkaBuilder) -> String {
    let error = refusal(builder).await;
    assert!(matches!(error, Error::Authentication { .. }) && !error.is_retriable(), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_wrong_password() {
    let Some(address) = listener("SASL") else { return };
    let kafka = || Kafka::builder(address.clone());
    let wrong = [Sasl::plain(USER, "wrong"), Sasl::scram_sha256(USER, "wrong"), Sasl::scram_sha512("nobody", PASSWORD)];
    for sasl in wrong {
        let mechanism = sasl.mechanism();
        let error = no_login(kafka().sasl(sasl)).await;
        assert!(error.contains(mechanism) && error.contains("check the credentials"), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_is_over() {
    let Some(address) = listener("SASL") else { return };
    let stale = || async {
        // Its end is before its beginning.
        let (head, claims) = ("{\"alg\":\"none\"}", "{\"sub\":\"app\",\"iat\":1000,\"exp\":2000}");
        let token = format!("{}.{}.", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        Ok::<_, std::io::Error>(OAuthToken::new(token))
    };
    let error = no_login(Kafka::builder(address).sasl(Sasl::oauthbearer(stale))).await;
    assert!(error.contains("invalid_token"), "{error}");
}

#[tokio::test]
async fn a_wrong_ca() {
    let Some(address) = listener("TLS") else { return };
    for tls in [Tls::ca_pem(fixture("other_ca.pem")), Tls::webpki_roots()] {
        let error = no_tls(Kafka::builder(address.clone()).tls(tls)).await;
        assert!(error.contains("name the broker's CA with Tls::ca_pem"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_host_name() {
    let Some(address) = listener("WRONG_NAME") else { return };
    let error = no_tls(Kafka::builder(address.clone()).tls(trusting())).await;
    assert!(error.contains("elsewhere.test") && error.contains("Tls::server_name"), "{error}");
    round_trip(Kafka::builder(address).tls(trusting().server_name("elsewhere.test"))).await;
}

#[tokio::test]
async fn an_expired_certificate() {
    let Some(address) = listener("EXPIRED") else { return };
    let error = no_tls(Kafka::builder(address).tls(trusting())).await;
    assert!(error.contains("expired") && error.contains("the broker needs a new certificate"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_or_not_trusted() {
    let Some(address) = listener("MUTUAL") else { return };
    let error = no_tls(Kafka::builder(address.clone()).tls(trusting())).await;
    assert!(error.contains("the broker asks for a client certificate"), "{error}");
    let servers = trusting().client_certificate_pem(fixture("broker.pem"), fixture("broker.key"));
    let error = no_tls(Kafka::builder(address).tls(servers)).await;
    assert!(error.contains("does not accept the client's certificate"), "{error}");
}

#[tokio::test]
async fn the_wrong_kind_of_listener() {
    let (Some(plain), Some(tls)) = (listener("EXTERNAL"), listener("TLS")) else { return };
    let Some(sasl) = listener("SASL") else { return };
    let error = no_tls(Kafka::builder(tls.clone())).await;
    assert!(error.contains("the listener speaks TLS"), "{error}");
    let error = refusal(Kafka::builder(plain.clone()).tls(trusting())).await.to_string();
    assert!(error.contains("is this a listener without TLS?"), "{error}");
    let error = refusal(Kafka::builder(sasl)).await.to_string();
    assert!(error.contains("does this listener want a login"), "{error}");
    for (address, tls) in [(plain, None), (tls, Some(trusting()))] {
        let kafka = Kafka::builder(address).sasl(Sasl::plain(USER, PASSWORD));
        let error = no_login(tls.into_iter().fold(kafka, KafkaBuilder::tls)).await;
        assert!(error.contains("this listener takes no login"), "{error}");
    }
}
