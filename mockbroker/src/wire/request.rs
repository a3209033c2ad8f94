//! The header of a request, read by hand: nothing in it is believed before it is there.
//!
//! Source: RequestHeader.json; RequestHeader.parse. Kafka 4.x knows header versions 1 and 2.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;

use crate::error::Close;

/// What every request says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    /// Which API, as its number.
    pub(crate) api_key: i16,
    /// Which version of it.
    pub(crate) api_version: i16,
    /// Echoed in the response.
    pub(crate) correlation_id: i32,
    /// Who asks; null is "".
    pub(crate) client_id: StrBytes,
}

/// Reads the header of `frame`: that, and the body. `is_flexible` tells whether the (API, version) has header version 2; it is
/// asked only once both are known.
pub(crate) fn read_header(
    frame: &Bytes,
    is_flexible: impl FnOnce(i16, i16) -> Result<bool, Close>,
) -> Result<(RequestHeader, Bytes), Close> {
    let short = |what| move |_| Close::because(format!("a request that ends within its {what}"));
    let mut rest: &[u8] = frame;
    let api_key = rest.try_get_i16().map_err(short("api key"))?;
    let api_version = rest.try_get_i16().map_err(short("api version"))?;
    let flexible = is_flexible(api_key, api_version)?;
    let correlation_id = rest.try_get_i32().map_err(short("correlation id"))?;
    let client_id = read_client_id(frame, &mut rest)?;
    if flexible {
        skip_tagged_fields(&mut rest)?;
    }
    Ok((RequestHeader { api_key, api_version, correlation_id, client_id }, frame.slice(frame.len() - rest.len()..)))
}

/// The client id is an old nullable string (16-bit length) in both header versions. `rest` is what `frame` has from there on.
fn read_client_id(frame: &Bytes, rest: &mut &[u8]) -> Result<StrBytes, Close> {
    let declared = rest.try_get_i16().map_err(|_| Close::because("a request that ends within its client id"))?;
    if declared == -1 {
        return Ok(StrBytes::default());
    }
    let length = usize::try_from(declared)
        .ok()
        .filter(|length| *length <= rest.len())
        .ok_or_else(|| Close::because(format!("a client id of {declared} bytes in a request of {}", rest.len())))?;
    let begins = frame.len() - rest.len();
    rest.advance(length);
    StrBytes::from_utf8(frame.slice(begins..begins + length))
        .map_err(|_| Close::because("a client id that is not UTF-8"))
}

/// Skips tagged fields without keeping any: a header may carry millions of them (CVE-2026-111115).
fn skip_tagged_fields(frame: &mut &[u8]) -> Result<(), Close> {
    let count = read_unsigned_varint(frame)?;
    // A tag takes two bytes at least.
    if count as usize > frame.len() / 2 {
        return Err(Close::because(format!(
            "{count} tagged fields in a header of which {} bytes are left",
            frame.len()
        )));
    }
    for _ in 0..count {
        read_unsigned_varint(frame)?;
        let size = read_unsigned_varint(frame)? as usize;
        if size > frame.len() {
            return Err(Close::because(format!("a tagged field of {size} bytes where {} are left", frame.len())));
        }
        frame.advance(size);
    }
    Ok(())
}

fn read_unsigned_varint(frame: &mut &[u8]) -> Result<u32, Close> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let byte = frame.try_get_u8().map_err(|_| Close::because("a request that ends within its header's tags"))?;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Close::because("a number of more than five bytes in a header's tags"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], flexible: bool) -> Result<(RequestHeader, Bytes), String> {
        read_header(&Bytes::copy_from_slice(bytes), |_, _| Ok(flexible)).map_err(|close| close.to_string())
    }

    const START: [u8; 8] = [0, 18, 0, 3, 0, 0, 0, 7];

    #[test]
    fn a_header_of_either_version_leaves_the_body() {
        let (header, body) = read(&[&START[..], &[0, 2, b'm', b'e', 42]].concat(), false).expect("well formed");
        assert_eq!((header.api_key, header.api_version, header.correlation_id), (18, 3, 7));
        assert_eq!((&*header.client_id, &body[..]), ("me", &[42][..]));
        let (header, body) =
            read(&[&START[..], &[0xff, 0xff, 2, 0, 1, 9, 5, 0, 42]].concat(), true).expect("two unknown tags");
        assert_eq!((&*header.client_id, &body[..]), ("", &[42][..]));
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = [&START[..], &[0, 2, b'm', b'e', 1, 0, 3, 1, 2, 3]].concat();
        for end in 0..whole.len() {
            read(&whole[..end], true).expect_err("truncated");
        }
        read(&whole, true).expect("whole");
    }

    #[test]
    fn lying_lengths_are_refused() {
        for client_id in [[0xff, 0xfe], [0x7f, 0xff], [0x80, 0]] {
            read(&[&START[..], &client_id].concat(), false).expect_err("a client id that is not there");
        }
        for tags in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x80; 6], &[2, 0, 0], &[1, 0, 0xff, 0x7f]] {
            read(&[&START[..], &[0, 0], tags].concat(), true).expect_err("tags that are not there");
        }
    }
}
