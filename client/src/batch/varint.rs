//! The zig-zag varints of record batches: seven bits a byte, low bits first, the high bit says that more follow.

use bytes::{BufMut, BytesMut};

/// How many bytes `put` writes for a value.
pub(super) const fn length(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn put(buffer: &mut BytesMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        buffer.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.put_u8(rest as u8);
}

/// Reads a value of at most 64 bits at `position` and moves it. Most are of one byte or two. What is wrong is said in words alone:
/// this runs several times for every record.
#[inline]
pub(super) fn take_long(bytes: &[u8], position: &mut usize) -> Result<i64, &'static str> {
    let (value, length) = match bytes.get(*position..).unwrap_or_default() {
        [first @ ..0x80, ..] => (u64::from(*first), 1),
        [first, second @ ..0x80, ..] => (u64::from(first & 0x7f) | u64::from(*second) << 7, 2),
        rest => take_longer(rest)?,
    };
    *position += length;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

/// The value before zig-zag, and how many bytes it takes.
fn take_longer(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok((value, index + 1));
        }
    }
    Err("a varint is cut off or too long")
}

/// Reads a value that has to fit an `i32`.
#[inline]
pub(super) fn take_int(bytes: &[u8], position: &mut usize) -> Result<i32, &'static str> {
    i32::try_from(take_long(bytes, position)?).map_err(|_| "a varint exceeds 32 bits")
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_lengths_are_exact() {
        // ByteUtilsTest.java: the same corner values.
        for value in [
            0,
            -1,
            1,
            63,
            -64,
            64,
            -65,
            8191,
            -8192,
            8192,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
            i64::MAX,
            i64::MIN,
        ] {
            let mut buffer = BytesMut::new();
            put(&mut buffer, value);
            assert_eq!(buffer.len(), length(value), "{value}");
            let mut position = 0;
            assert_eq!(take_long(&buffer, &mut position), Ok(value));
            assert_eq!(position, buffer.len());
        }
        assert_eq!((length(0), length(i64::MAX)), (1, 10));
    }

    #[test]
    fn a_varint_that_never_ends_is_refused() {
        for bytes in [&[0xff; 20][..], &[0x80][..], &[]] {
            assert!(take_long(bytes, &mut 0).is_err());
        }
    }
}
