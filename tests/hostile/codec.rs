//! Where kafka-protocol and Kafka's schema disagree: a random right body has to come back as the same bytes.

use std::collections::BTreeMap;

use mockbroker::schema::Direction;
use system_tests::{codec, generate};

use crate::{decode, every_message, number};

/// Requests that `ApiKey::valid_versions` claims and the decoder refuses: the range is that of the response.
const CLAIMED: [(i16, i16); 3] = [(8, 10), (9, 10), (22, 6)];

#[test]
fn the_codec_reads_and_writes_what_kafkas_schema_says() {
    let mut disagreements = BTreeMap::new();
    for (message, version, mut rng) in every_message() {
        for _ in 0..number("HOSTILE_BODIES", 50) {
            let value = generate::valid(message, version, &mut rng);
            let body = codec::encode(message, version, &value);
            let read_back = codec::decode(message, version, &body.clone().into());
            assert!(read_back.is_ok(), "{} v{version}: {read_back:?}", message.name);
            let fault = match decode(message, version, &body).and_then(|decoded| decoded.encode(version)) {
                Ok(again) if again == body => continue,
                Ok(again) => format!("wrote {again:02x?} for {body:02x?}, {value:?}"),
                Err(error) => format!("{error}, for {value:?}"),
            };
            let claimed = message.direction == Direction::Request && CLAIMED.contains(&(message.api_key, version));
            if claimed && fault.contains("specified version not supported") {
                continue;
            }
            let place = (message.api_key, message.name, format!("{:?}", message.direction), version);
            disagreements.entry(place).or_insert(fault);
        }
    }
    assert!(disagreements.is_empty(), "{disagreements:#?}");
}
