//! The document of the control address: what is committed is what is served, so that a change of it is seen.

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

#[test]
fn the_committed_openapi_document_is_the_one_that_is_served() {
    let served = super::openapi();
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(COMMITTED, &served).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(committed == served, "docs/openapi.json is not what is served: `just tables` writes it anew");
}
