//! Reads a record as nearly every one is: none of its numbers takes more than three bytes.
//!
//! A walk over records runs twice for each of them, once to check and once to give out, and most of what it does is to read
//! small numbers. Here one look at the bounds serves all those before the key. What is not of this form, and what is wrong,
//! is left to [`Walk`](super::cursor::Walk), which reads any record and says what is wrong with it.

use super::cursor::{OpenBatch, RecordSpan};
use crate::record::Timestamp;

/// -1 before zig-zag.
const NULL: u32 = 1;

/// The record that begins at `start`. `None` says nothing but that it has to be read the long way.
#[inline(always)]
pub(super) fn read(batch: &OpenBatch, start: usize) -> Option<RecordSpan> {
    let rest = batch.records.get(start..)?;
    let mut numbers = Numbers::at(rest, 0)?;
    let length = numbers.take_length()?;
    let record = rest.get(..numbers.position() + length)?;
    // Attributes of a record are unused.
    numbers.taken += 1;
    let timestamp_delta = numbers.take()?;
    let offset_delta = numbers.take_length()?;
    if offset_delta > batch.last_offset_delta as usize {
        return None;
    }
    let key = numbers.take_field()?;
    if !key.is_null {
        numbers = Numbers::at(rest, key.end)?;
    }
    let value = numbers.take_field()?;
    // Everything before is in front of this, so that it is within the record as well.
    let header_count = *record.get(value.end)?;
    let headers_at = value.end + 1;
    // Before zig-zag it is twice as many, and a header takes two bytes at least.
    let is_plausible = header_count < 0x80 && header_count % 2 == 0;
    if !is_plausible || usize::from(header_count) > record.len() - headers_at {
        return None;
    }
    let timestamp_delta = i64::from((timestamp_delta >> 1) as i32 ^ -((timestamp_delta & 1) as i32));
    let timestamp = batch.log_append_time.unwrap_or(batch.base_timestamp.wrapping_add(timestamp_delta));
    Some(RecordSpan {
        offset: batch.base_offset + offset_delta as i64,
        timestamp: Timestamp(timestamp),
        key: key.span(start),
        value: value.span(start),
        header_count: u32::from(header_count / 2),
        headers_at: (start + headers_at) as u32,
        start: start as u32,
        end: (start + record.len()) as u32,
    })
}

/// Up to five numbers in a row, and a byte between them.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    /// Where they begin, in the bytes from the record on.
    from: usize,
    bytes: &'a [u8; 16],
    /// How many bytes were taken.
    taken: usize,
}

impl<'a> Numbers<'a> {
    #[inline(always)]
    fn at(rest: &'a [u8], from: usize) -> Option<Self> {
        Some(Self { from, bytes: rest.get(from..)?.first_chunk()?, taken: 0 })
    }

    #[inline(always)]
    fn position(&self) -> usize {
        self.from + self.taken
    }

    /// Numbers of three bytes end within the sixteen: the mask changes nothing, and spares the look at the bounds.
    #[inline(always)]
    fn byte(&self, ahead: usize) -> u32 {
        u32::from(self.bytes[(self.taken + ahead) & 15])
    }

    /// The next number before zig-zag.
    #[inline(always)]
    fn take(&mut self) -> Option<u32> {
        let first = self.byte(0);
        if first < 0x80 {
            self.taken += 1;
            return Some(first);
        }
        let second = self.byte(1);
        if second < 0x80 {
            self.taken += 2;
            return Some(first & 0x7f | second << 7);
        }
        let third = self.byte(2);
        self.taken += 3;
        (third < 0x80).then_some(first & 0x7f | (second & 0x7f) << 7 | third << 14)
    }

    /// The next number, unless it is negative.
    #[inline(always)]
    fn take_length(&mut self) -> Option<usize> {
        let number = self.take()?;
        (number & 1 == 0).then_some((number >> 1) as usize)
    }

    /// `length: varint, bytes`, null for -1. Whether the bytes are there is not looked at.
    #[inline(always)]
    fn take_field(&mut self) -> Option<Field> {
        let number = self.take()?;
        let start = self.position();
        if number == NULL {
            return Some(Field { is_null: true, start, end: start });
        }
        (number & 1 == 0).then_some(Field { is_null: false, start, end: start + (number >> 1) as usize })
    }
}

/// Where a key or a value is, in the bytes from the record on.
struct Field {
    is_null: bool,
    start: usize,
    end: usize,
}

impl Field {
    #[inline(always)]
    fn span(&self, record: usize) -> Option<(u32, u32)> {
        (!self.is_null).then_some(((record + self.start) as u32, (self.end - self.start) as u32))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use fastrand::Rng;

    use super::*;
    use crate::batch::{HEADER_BYTES, cursor::Batches, varint};

    const LIMIT: usize = 1 << 24;

    /// A number of some length of its varint.
    fn some(rng: &mut Rng) -> i64 {
        let bits = rng.choice([0, 5, 6, 7, 12, 13, 14, 19, 20, 21, 26, 27]).unwrap();
        rng.i64(0..=1 << bits)
    }

    fn put_field(bytes: &mut BytesMut, rng: &mut Rng) {
        match rng.u8(..16) {
            0..4 => varint::put(bytes, -1),
            _ => {
                // Long ones now and then.
                let length = if rng.u8(..32) == 0 { rng.usize(..10_000) } else { rng.usize(..90) };
                varint::put(bytes, length as i64);
                bytes.put_bytes(b'x', length);
            }
        }
    }

    /// A batch of records of all forms; what is in them is told by nothing but the bytes.
    fn batch(rng: &mut Rng) -> Vec<u8> {
        let (mut records, count) = (BytesMut::new(), rng.i32(1..40));
        for _ in 0..count {
            let mut record = BytesMut::new();
            record.put_u8(rng.u8(..));
            let timestamp = some(rng);
            varint::put(&mut record, if rng.bool() { timestamp } else { -timestamp });
            varint::put(&mut record, if rng.u8(..4) == 0 { some(rng) } else { rng.i64(0..1_000) });
            put_field(&mut record, rng);
            put_field(&mut record, rng);
            let headers = if rng.bool() { 0 } else { rng.i64(0..4) };
            varint::put(&mut record, headers);
            for _ in 0..headers {
                varint::put(&mut record, 1);
                record.put_u8(b'h');
                put_field(&mut record, rng);
            }
            varint::put(&mut records, record.len() as i64);
            records.extend_from_slice(&record);
        }
        let mut batch = BytesMut::new();
        batch.put_i64(rng.i64(0..1 << 40));
        batch.put_i32(i32::try_from(HEADER_BYTES - 12 + records.len()).unwrap());
        batch.put_i32(0);
        batch.put_u8(2);
        batch.put_u32(0);
        batch.put_i16(if rng.bool() { 0 } else { 1 << 3 });
        batch.put_i32(if rng.bool() { 1_000 } else { 1 << 27 });
        batch.put_i64(1_700_000_000_000);
        batch.put_i64(1_700_000_001_000);
        batch.put_bytes(0xff, 14);
        batch.put_i32(count);
        batch.extend_from_slice(&records);
        batch.to_vec()
    }

    fn open(batch: Vec<u8>) -> Option<OpenBatch> {
        Batches::new(Bytes::from(batch)).next_batch().ok()??.open(false, LIMIT).ok()
    }

    #[test]
    fn what_is_read_plainly_is_read_the_same_the_long_way() {
        let mut rng = Rng::with_seed(1);
        let (mut plain, mut others) = (0, 0);
        for _ in 0..300 {
            let open = open(batch(&mut rng)).expect("the batch is whole");
            let mut walk = open.walk();
            // Where the offset is beyond the batch's, the walk ends.
            while let Ok(span) = walk.read_any(&open) {
                match read(&open, span.start as usize) {
                    Some(read) => {
                        assert_eq!(read, span);
                        plain += 1;
                    }
                    None => others += 1,
                }
                if !matches!(walk.next_record(&open), Some(Ok(walked)) if walked == span) {
                    break;
                }
            }
        }
        assert!(plain > 1_000 && others > 100, "{plain} and {others}");
    }

    #[test]
    fn damage_is_never_read_plainly() {
        // What is plain is what the long way reads too, whatever the bytes are.
        let mut rng = Rng::with_seed(2);
        let (mut plain, mut refused) = (0, 0);
        for _ in 0..2_000 {
            let mut bytes = batch(&mut rng);
            for _ in 0..rng.usize(1..4) {
                let (at, any) = (rng.usize(HEADER_BYTES..bytes.len()), rng.u8(..));
                bytes[at] = rng.choice([0, 1, 2, 0x7f, 0x80, 0xff, any]).unwrap();
            }
            let Some(open) = open(bytes) else { continue };
            let mut walk = open.walk();
            while walk.left() > 0 {
                let (read, any) = (read(&open, walk.position()), walk.read_any(&open));
                match (read, any) {
                    (Some(read), any) => {
                        assert_eq!(Ok(read), any);
                        plain += 1;
                    }
                    (None, Err(_)) => refused += 1,
                    (None, Ok(_)) => {}
                }
                if !matches!(walk.next_record(&open), Some(Ok(_))) {
                    break;
                }
            }
        }
        assert!(plain > 1_000 && refused > 100, "{plain} and {refused}");
    }
}
