//! The frame around every message: a signed 32-bit big-endian length, then that many bytes.
//!
//! Source: NetworkReceive.

use crate::error::Close;

/// How many bytes the length field takes.
pub(crate) const LENGTH_BYTES: usize = 4;

/// The length of the frame that begins `buffer`; `None` until its length field is complete.
///
/// Errors: the length is negative, or over `max_bytes` (`socket.request.max.bytes`). Kafka closes the connection on both.
pub(crate) fn length(buffer: &[u8], max_bytes: usize) -> Result<Option<usize>, Close> {
    let Some(field) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let declared = i32::from_be_bytes(*field);
    match usize::try_from(declared) {
        Ok(length) if length <= max_bytes => Ok(Some(length)),
        Ok(_) => Err(Close::because(format!(
            "a frame of {declared} bytes is over socket.request.max.bytes={max_bytes}{}",
            other_protocol(field)
        ))),
        Err(_) => Err(Close::because(format!("a frame of {declared} bytes{}", other_protocol(field)))),
    }
}

/// What the first four bytes look like when the peer does not speak Kafka's plain protocol at all.
fn other_protocol(field: &[u8; LENGTH_BYTES]) -> &'static str {
    match field {
        [0x16, 3, ..] => " (it looks like a TLS hello on a plaintext port)",
        b"GET " | b"POST" | b"HEAD" | b"PUT " => " (it looks like HTTP)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_known_once_its_four_bytes_are_there() {
        assert_eq!(length(&[0, 0, 0], 100), Ok(None));
        assert_eq!(length(&[0, 0, 0, 5, 1], 100), Ok(Some(5)));
        assert_eq!(length(&[0, 0, 0, 0], 100), Ok(Some(0)));
        assert_eq!(length(&[0, 0, 0, 100], 100), Ok(Some(100)));
    }

    #[test]
    fn a_negative_or_too_long_frame_closes_and_says_which() {
        let reason = |bytes: &[u8; 4]| length(bytes, 100).expect_err("refused").to_string();
        assert_eq!(reason(&[0xff; 4]), "a frame of -1 bytes");
        assert!(reason(&[0, 0, 0, 101]).contains("socket.request.max.bytes=100"));
        assert!(reason(b"GET ").contains("HTTP"));
        assert!(reason(&[0x16, 3, 1, 2]).contains("TLS"));
    }
}
