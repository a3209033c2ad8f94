//! What a stranger can send: nothing may crash, hang or bloat either crate.
//!
//! - `broker`: a running broker goes on, whatever frames it is sent
//! - `guards`: what passes the guards, the codec decodes in bounded memory and without a panic
//! - `codec`: where the codec and Kafka's schema disagree
//! - `kafka`: the kit's own codec, judged by a real Kafka
//!
//! Bodies come from a seed. `HOSTILE_BODIES` says how many per API and version, `HOSTILE_SEED` repeats a run.

mod broker;
mod codec;
mod guards;
mod kafka;

use std::env;

use fastrand::Rng;
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use mockbroker::schema::{self, Direction, Message};

/// Every message at every version that the codec knows too, with the random source for its bodies.
fn every_message() -> impl Iterator<Item = (&'static Message, i16, Rng)> {
    let seed = number("HOSTILE_SEED", 1);
    let both = schema::all_requests().flat_map(|request| [Some(request), schema::response(request.api_key)]);
    let known = both.flatten().filter(|message| ApiKey::try_from(message.api_key).is_ok());
    known.flat_map(move |message| {
        let versions = (message.versions.min..=message.versions.max).filter(|version| is_decodable(message, *version));
        versions.map(move |version| {
            let direction = u64::from(message.direction == Direction::Request);
            let mixed = seed ^ (message.api_key as u64) << 32 ^ (version as u64) << 16 ^ direction << 8;
            (message, version, Rng::with_seed(mixed))
        })
    })
}

fn is_decodable(message: &Message, version: i16) -> bool {
    let range = ApiKey::try_from(message.api_key).expect("it was asked for").valid_versions();
    range.min <= version && version <= range.max
}

/// Decodes with the codec; the answer is what it encodes again.
fn decode(message: &Message, version: i16, body: &[u8]) -> Result<Decoded, String> {
    let mut bytes = bytes::Bytes::copy_from_slice(body);
    let api_key = ApiKey::try_from(message.api_key).expect("every_message leaves out what the codec lacks");
    let decoded = match message.direction {
        Direction::Request => RequestKind::decode(api_key, &mut bytes, version).map(Decoded::Request),
        _ => ResponseKind::decode(api_key, &mut bytes, version).map(Decoded::Response),
    };
    match decoded {
        Ok(_) if !bytes.is_empty() => Err(format!("{} bytes are left", bytes.len())),
        Ok(decoded) => Ok(decoded),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// What the codec made of a body.
#[derive(Debug)]
enum Decoded {
    Request(RequestKind),
    Response(ResponseKind),
}

impl Decoded {
    fn encode(&self, version: i16) -> Result<Vec<u8>, String> {
        let mut bytes = bytes::BytesMut::new();
        match self {
            Self::Request(request) => request.encode(&mut bytes, version),
            Self::Response(response) => response.encode(&mut bytes, version),
        }
        .map_err(|error| error.to_string())?;
        Ok(bytes.to_vec())
    }
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
