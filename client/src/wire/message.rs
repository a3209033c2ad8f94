//! A request with its header as a frame, and the body of an answer as a message.
//!
//! [`decode_response`] is the one place where bytes of a broker become a message, so it is where they are distrusted.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, HeaderVersion};

use crate::{
    error::{Error, Result},
    wire::{frame::Frame, guard, schema, versions::Api},
};

/// The correlation id is written last, by the connection, at this place of a frame:
/// `[length: i32][api_key: i16][api_version: i16][correlation_id: i32]`.
const CORRELATION_ID_AT: usize = 8;

/// A request that lacks only its correlation id.
#[derive(Debug)]
pub(crate) struct EncodedRequest {
    head: BytesMut,
    tail: Vec<Bytes>,
}

impl EncodedRequest {
    /// Encodes header and body of a request.
    pub(crate) fn new<A: Api>(request: &A, version: i16, client_id: &str) -> Result<Self> {
        let size = request.compute_size(version).map_err(|error| unencodable::<A>(version, &error))?;
        let mut head = begin::<A>(version, client_id, size);
        request.encode(&mut head, version).map_err(|error| unencodable::<A>(version, &error))?;
        Ok(Self::finish(head, Vec::new()))
    }

    /// A request whose header and beginning are in `head` and whose rest is in `tail`.
    pub(crate) fn finish(mut head: BytesMut, tail: Vec<Bytes>) -> Self {
        let length = head.len() + tail.iter().map(Bytes::len).sum::<usize>() - 4;
        let length = i32::try_from(length).expect("max_request_size keeps requests below 2 GiB");
        head[..4].copy_from_slice(&length.to_be_bytes());
        Self { head, tail }
    }

    /// How many bytes it has, with its length.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.iter().map(Bytes::len).sum::<usize>()
    }

    /// The frame, once the connection knows the correlation id.
    pub(crate) fn into_frame(mut self, correlation_id: i32) -> Frame {
        self.head[CORRELATION_ID_AT..CORRELATION_ID_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
        let mut frame = Frame::default();
        frame.push(self.head.freeze());
        self.tail.into_iter().for_each(|part| frame.push(part));
        frame
    }
}

/// A buffer that holds a place for the length and the request header: v1, or v2 when the API version is flexible.
///
/// The client id is the old two-byte string in both (RequestHeader.json, `flexibleVersions` of `ClientId`).
pub(crate) fn begin<A: Api>(version: i16, client_id: &str, body_size: usize) -> BytesMut {
    let mut head = BytesMut::with_capacity(4 + 8 + 2 + client_id.len() + 1 + body_size);
    head.put_i32(0);
    head.put_i16(A::KEY);
    head.put_i16(version);
    head.put_i32(0);
    head.put_i16(i16::try_from(client_id.len()).expect("the builder limits client_id to 32767 bytes"));
    head.put_slice(client_id.as_bytes());
    if A::header_version(version) >= 2 {
        head.put_u8(0);
    }
    head
}

/// Decodes an answer: what follows the correlation id, that is the rest of the header and the body.
pub(crate) fn decode_response<A: Api>(version: i16, mut body: Bytes) -> Result<A::Response> {
    if A::Response::header_version(version) >= 1 {
        skip_tagged_fields(&mut body).map_err(|reason| malformed::<A>(version, reason))?;
    }
    // kafka-protocol reserves memory by the lengths in `body`: they are checked before it sees them.
    let message = schema::response(A::KEY).expect("the schema has every API that this client speaks");
    guard::check(message, version, &body, &guard::Limits::default())
        .map_err(|reason| malformed::<A>(version, &reason.to_string()))?;
    A::Response::decode(&mut body, version).map_err(|error| malformed::<A>(version, &error.to_string()))
}

pub(crate) fn malformed<A: Api>(version: i16, reason: &str) -> Error {
    Error::Malformed { api: A::NAME, version, reason: reason.into() }
}

fn unencodable<A: Api>(version: i16, error: &dyn std::fmt::Display) -> Error {
    Error::Malformed { api: A::NAME, version, reason: format!("the request cannot be said: {error}").into() }
}

/// Response header v1 ends in tagged fields, none of which is known: `count`, then `tag`, `length`, bytes for each.
fn skip_tagged_fields(body: &mut Bytes) -> Result<(), &'static str> {
    for _ in 0..unsigned_varint(body)? {
        unsigned_varint(body)?;
        let length = unsigned_varint(body)? as usize;
        if length > body.len() {
            return Err("a tagged field of the header is longer than the frame");
        }
        let _ = body.split_to(length);
    }
    Ok(())
}

fn unsigned_varint(body: &mut Bytes) -> Result<u32, &'static str> {
    let mut value = 0_u32;
    for index in 0..5 {
        let Some(&byte) = body.get(index) else { return Err("the header ends in the middle of a varint") };
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let _ = body.split_to(index + 1);
            return Ok(value);
        }
    }
    Err("a varint of the header is too long")
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::{MetadataRequest, RequestHeader},
        protocol::Encodable,
    };

    use super::*;

    #[test]
    fn the_header_is_the_codecs_header() {
        for version in MetadataRequest::MIN..=MetadataRequest::MAX {
            let request = MetadataRequest::default();
            let frame = EncodedRequest::new(&request, version, "me").unwrap().into_frame(77);
            let mut expected = BytesMut::new();
            RequestHeader::default()
                .with_request_api_key(3)
                .with_request_api_version(version)
                .with_correlation_id(77)
                .with_client_id(Some("me".to_owned().into()))
                .encode(&mut expected, MetadataRequest::header_version(version))
                .unwrap();
            request.encode(&mut expected, version).unwrap();
            let bytes: Vec<u8> = frame.parts.concat();
            assert_eq!(bytes[..4], i32::try_from(expected.len()).unwrap().to_be_bytes());
            assert_eq!(bytes[4..], expected[..], "v{version}");
        }
    }

    #[test]
    fn a_tag_bomb_in_the_header_costs_nothing() {
        // CVE-2026-111115: a count of tagged fields is not a licence to allocate.
        for body in [&b"\xff\xff\xff\xff\x0f\0\0"[..], b"", b"\xff", b"\x01\0\x7fx", b"\xff\xff\xff\xff\xff\xff"] {
            let error = decode_response::<MetadataRequest>(12, Bytes::copy_from_slice(body)).unwrap_err();
            assert!(matches!(error, Error::Malformed { api: "Metadata", version: 12, .. }), "{error}");
        }
    }
}
