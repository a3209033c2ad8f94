//! What passes the guards, the codec decodes without a panic and within the memory the guards promise; what is right,
//! the guards pass.

use std::panic::{AssertUnwindSafe, catch_unwind};

use async_kafka::guard as answers;
use fastrand::Rng;
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::Decodable;
use mockbroker::guard as requests;
use mockbroker::schema::{self, Direction, Message};
use system_tests::{api, codec, generate, value};

use crate::{decode, every_message, number};

/// What the codec may reserve beside what grows with the body: messages of its errors, the root struct.
const ROOM: usize = 64 * 1024;

/// What one tagged field that the schema lacks costs: a node of a `BTreeMap`, at worst for itself alone.
const UNKNOWN_TAG: usize = 512;

#[test]
fn what_the_guard_passes_the_codec_decodes_in_bounded_memory() {
    // CVE-2026-111108, CVE-2026-111115: counts on the wire that are trusted.
    let bodies = number("HOSTILE_BODIES", 200);
    for (message, version, mut rng) in every_message() {
        for round in 0..bodies {
            let body = body(message, version, round, &mut rng);
            judge(message, version, &body);
        }
    }
}

#[test]
fn every_length_that_lies_is_survived() {
    for (message, version, mut rng) in every_message() {
        for _ in 0..2 {
            let (body, marks) = codec::encode_marked(message, version, &generate::valid(message, version, &mut rng));
            for lie in generate::lies(&body, &marks) {
                judge(message, version, &lie);
            }
        }
    }
}

/// Enough for what surrounds an array not to count.
const ELEMENTS: usize = 1_000;

#[test]
fn an_array_of_the_smallest_elements_stays_within_the_factor() {
    let (mut worst_request, mut worst_answer) = ((0, String::new()), (0, String::new()));
    for (message, version, _) in every_message() {
        for (place, value) in generate::amplified(message, version, ELEMENTS) {
            let body = codec::encode(message, version, &value);
            assert!(passes(message, version, &body), "{} v{version}, {ELEMENTS} {place}: refused", message.name);
            let factor = (judge(message, version, &body) / body.len(), format!("{} v{version} {place}", message.name));
            let worst = if message.direction == Direction::Request { &mut worst_request } else { &mut worst_answer };
            *worst = std::mem::take(worst).max(factor);
        }
    }
    println!("the worst request: {worst_request:?}, the worst answer: {worst_answer:?}");
    assert!(worst_request.0 <= requests::MEMORY_FACTOR, "{worst_request:?}");
    assert!(worst_answer.0 <= answers::MEMORY_FACTOR, "{worst_answer:?}");
}

#[test]
fn a_tag_that_the_schema_lacks_costs_no_more_than_the_guard_says() {
    // One for each topic: each is a map of its own. FetchRequest.json v13.
    let tags = value!([{ tag: 100, data: b"" }]);
    let topics = vec![value!({ unknown_tags: tags.clone() }); 10_000];
    let fetch = schema::request(api::FETCH).unwrap();
    let body = codec::encode(fetch, 13, &value!({ topics: topics.clone() }));
    assert!(judge(fetch, 13, &body) > 1_000_000, "the codec keeps them");
    let body = codec::encode(fetch, 13, &value!({ topics: topics, unknown_tags: tags }));
    assert_eq!(judge(fetch, 13, &body), 0, "one more is refused");
    // All in one place.
    let tags: Vec<_> = (0..10_000).map(|number| value!({ tag: 100 + number, data: b"" })).collect();
    let body = codec::encode(fetch, 13, &value!({ unknown_tags: tags }));
    assert!(judge(fetch, 13, &body) > 0);
}

#[test]
fn a_header_that_the_guard_passes_is_decoded_to_where_the_guard_says() {
    for (message, version, mut rng) in every_message().filter(|(message, ..)| message.direction == Direction::Request) {
        for _ in 0..200 {
            let frame = generate::frame(message, version, &[], &mut rng);
            let header_version = message.header_version(version);
            let header = schema::request_header();
            let Ok(used) = requests::check(header, header_version, &frame, &requests::Limits::DEFAULT) else {
                continue;
            };
            let mut rest = bytes::Bytes::copy_from_slice(&frame);
            // Text that is no UTF-8 is the codec's to refuse.
            if RequestHeader::decode(&mut rest, header_version).is_ok() {
                assert_eq!(frame.len() - rest.len(), used, "{} v{version}: {frame:02x?}", message.name);
            }
        }
    }
}

#[test]
fn a_right_body_passes_and_is_measured_to_its_end() {
    for (message, version, mut rng) in every_message() {
        for _ in 0..50 {
            let body = codec::encode(message, version, &generate::valid(message, version, &mut rng));
            let longer = [&body[..], b"more"].concat();
            assert!(passes(message, version, &body), "{} v{version}: {body:02x?} is refused", message.name);
            let used = requests::check(message, version, &longer, &requests::Limits::DEFAULT);
            assert_eq!(used.map_err(|malformed| malformed.to_string()), Ok(body.len()));
            if let Some(answer) = answer(message) {
                let used = answers::check(answer, version, &longer, &answers::Limits::default());
                assert_eq!(used.map_err(|malformed| malformed.to_string()), Ok(body.len()));
            }
        }
    }
}

/// A mutation, mostly; noise now and then; a right body now and then.
fn body(message: &Message, version: i16, round: u64, rng: &mut Rng) -> Vec<u8> {
    match round % 8 {
        0 => generate::noise(rng),
        1 => codec::encode(message, version, &generate::valid(message, version, rng)),
        _ => {
            let (body, marks) = codec::encode_marked(message, version, &generate::valid(message, version, rng));
            generate::mutated(&body, &marks, rng)
        }
    }
}

/// Guards and then decodes a body as the crates do, and holds both to their promises. Returns the codec's peak.
fn judge(message: &Message, version: i16, body: &[u8]) -> usize {
    if !passes(message, version, body) {
        return 0;
    }
    let mut outcome = Ok(Ok(()));
    let memory = allocation_counter::measure(|| {
        outcome = catch_unwind(AssertUnwindSafe(|| decode(message, version, body).map(|_| ())));
    });
    let name = format!("{:?} {} v{version}", message.direction, message.name);
    assert!(outcome.is_ok(), "{name}: the codec panics at {body:02x?}, which the guard passes");
    let peak = usize::try_from(memory.bytes_max).expect("a peak fits in memory");
    let factor = if message.direction == Direction::Request { requests::MEMORY_FACTOR } else { answers::MEMORY_FACTOR };
    let bound = factor * body.len() + UNKNOWN_TAG * (body.len() / 2).min(10_000) + ROOM;
    assert!(peak <= bound, "{name}: {peak} bytes for a body of {}: {:02x?}", body.len(), &body[..body.len().min(200)]);
    peak
}

/// Whether the guard of the crate that gets this message passes it; the two guards have to agree where both know it.
fn passes(message: &Message, version: i16, body: &[u8]) -> bool {
    let broker = requests::check(message, version, body, &requests::Limits::DEFAULT);
    if let Some(answer) = answer(message) {
        let client = answers::check(answer, version, body, &answers::Limits::default());
        assert_eq!(
            client.as_ref().ok(),
            broker.as_ref().ok(),
            "{} v{version}: the guards disagree on {body:02x?}: {client:?}, {broker:?}",
            message.name
        );
    }
    broker.is_ok()
}

fn answer(message: &Message) -> Option<&'static async_kafka::schema::Message> {
    (message.direction == Direction::Response).then(|| async_kafka::schema::response(message.api_key)).flatten()
}
