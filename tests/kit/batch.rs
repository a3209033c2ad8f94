//! Record batches (magic 2) built and read by hand, independent of both crates, so that every header field can be wrong.
//!
//! Layout: DefaultRecordBatch.java; `base_offset` 8, `batch_length` 4, `partition_leader_epoch` 4, `magic` 1, `crc` 4
//! (CRC-32C of all that follows), `attributes` 2, `last_offset_delta` 4, `base_timestamp` 8, `max_timestamp` 8,
//! `producer_id` 8, `producer_epoch` 2, `base_sequence` 4, count 4, records.

use bytes::{Buf, BufMut, Bytes};

/// How many bytes a batch has before its records.
pub const HEADER_SIZE: usize = 61;

/// The attribute bit of timestamps that the broker sets.
pub const LOG_APPEND_TIME: i16 = 1 << 3;
/// The attribute bit of a transaction's records.
pub const TRANSACTIONAL: i16 = 1 << 4;
/// The attribute bit of commit and abort markers.
pub const CONTROL: i16 = 1 << 5;

/// One record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its timestamp less the batch's.
    pub timestamp_delta: i64,
    /// Its offset less the batch's.
    pub offset_delta: i32,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null.
    pub value: Option<Bytes>,
    /// The headers, in order; a key may come twice.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// A batch as it is on the wire. [`Batch::of`] makes a right one; change a field to make it wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The offset of the first record; 0 from a producer.
    pub base_offset: i64,
    /// How many bytes follow the length; `None` for the right number.
    pub batch_length: Option<i32>,
    /// The leader epoch; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// The format: 2.
    pub magic: i8,
    /// The CRC-32C; `None` for the right one.
    pub crc: Option<u32>,
    /// The lowest three bits are the codec (0 to 4), then the constants of this module.
    pub attributes: i16,
    /// The offset of the last record less that of the first.
    pub last_offset_delta: i32,
    /// The timestamp the records' are relative to.
    pub base_timestamp: i64,
    /// The greatest timestamp.
    pub max_timestamp: i64,
    /// The producer's id; -1 for none.
    pub producer_id: i64,
    /// The producer's epoch; -1 for none.
    pub producer_epoch: i16,
    /// The sequence of the first record; -1 for none.
    pub base_sequence: i32,
    /// How many records the header says there are.
    pub record_count: i32,
    /// The records' bytes: plain for codec 0, else what the codec made of them.
    pub payload: Bytes,
}

impl Batch {
    /// A batch of records with these values and no keys, all of one moment.
    #[must_use]
    pub fn of<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        let records = values
            .into_iter()
            .map(|value| Record { value: Some(Bytes::copy_from_slice(value.as_ref())), ..Record::default() });
        Self::of_records(records)
    }

    /// A batch of records, whose offset deltas are made to count from 0.
    ///
    /// # Panics
    ///
    /// If there are more than 2^31 - 1.
    #[must_use]
    pub fn of_records(records: impl IntoIterator<Item = Record>) -> Self {
        const SOME_DAY: i64 = 1_700_000_000_000;
        let mut payload = Vec::new();
        let mut count = 0;
        let mut latest = 0;
        for mut record in records {
            record.offset_delta = count;
            latest = latest.max(record.timestamp_delta);
            put_record(&mut payload, &record);
            count += 1;
        }
        Self {
            base_offset: 0,
            batch_length: None,
            partition_leader_epoch: -1,
            magic: 2,
            crc: None,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: SOME_DAY,
            max_timestamp: SOME_DAY + latest,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: count,
            payload: payload.into(),
        }
    }

    /// The same batch of a producer that numbers its batches.
    #[must_use]
    pub fn from_producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (producer_id, producer_epoch, base_sequence);
        self
    }

    /// The same batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Its bytes.
    ///
    /// # Panics
    ///
    /// If it is longer than a batch can be.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut covered = Vec::with_capacity(HEADER_SIZE + self.payload.len());
        covered.put_i16(self.attributes);
        covered.put_i32(self.last_offset_delta);
        covered.put_i64(self.base_timestamp);
        covered.put_i64(self.max_timestamp);
        covered.put_i64(self.producer_id);
        covered.put_i16(self.producer_epoch);
        covered.put_i32(self.base_sequence);
        covered.put_i32(self.record_count);
        covered.put_slice(&self.payload);

        let right_length = i32::try_from(4 + 1 + 4 + covered.len()).expect("a batch has at most 2^31 - 1 bytes");
        let mut out = Vec::with_capacity(HEADER_SIZE + self.payload.len());
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length.unwrap_or(right_length));
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(self.magic);
        out.put_u32(self.crc.unwrap_or_else(|| crc32c::crc32c(&covered)));
        out.extend(covered);
        out.into()
    }

    /// All whole batches that `records` begins with; the last one of a fetch may be cut off.
    ///
    /// # Panics
    ///
    /// If a batch is not magic 2 or its CRC is wrong: a broker never serves that.
    #[must_use]
    pub fn decode_all(mut records: Bytes) -> Vec<Self> {
        let mut batches = Vec::new();
        while let Some(length) = records.get(8..12) {
            let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = 12 + usize::try_from(length).expect("a batch length is not negative");
            if end > records.len() {
                break;
            }
            assert!(end >= HEADER_SIZE, "a batch of {end} bytes is shorter than its header");
            batches.push(Self::decode(records.split_to(end)));
        }
        batches
    }

    fn decode(mut bytes: Bytes) -> Self {
        let crc = crc32c::crc32c(&bytes[21..]);
        let batch = Self {
            base_offset: bytes.get_i64(),
            batch_length: Some(bytes.get_i32()),
            partition_leader_epoch: bytes.get_i32(),
            magic: bytes.get_i8(),
            crc: Some(bytes.get_u32()),
            attributes: bytes.get_i16(),
            last_offset_delta: bytes.get_i32(),
            base_timestamp: bytes.get_i64(),
            max_timestamp: bytes.get_i64(),
            producer_id: bytes.get_i64(),
            producer_epoch: bytes.get_i16(),
            base_sequence: bytes.get_i32(),
            record_count: bytes.get_i32(),
            payload: bytes,
        };
        assert_eq!(batch.magic, 2, "the magic of {batch:?}");
        assert_eq!(batch.crc, Some(crc), "the CRC of {batch:?}");
        batch
    }

    /// The records of a batch that is not compressed.
    ///
    /// # Panics
    ///
    /// If it is, or if the records are not what the header says.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        assert_eq!(self.attributes & 0b111, 0, "the batch is compressed");
        let mut rest = self.payload.clone();
        let records: Vec<_> = (0..self.record_count).map(|_| read_record(&mut rest)).collect();
        assert!(rest.is_empty(), "{} bytes follow the last of {} records", rest.len(), self.record_count);
        records
    }
}

/// Appends one record with its length.
pub fn put_record(out: &mut Vec<u8>, record: &Record) {
    let mut body = vec![0]; // attributes
    put_varlong(&mut body, record.timestamp_delta);
    put_varlong(&mut body, record.offset_delta.into());
    put_nullable(&mut body, record.key.as_deref());
    put_nullable(&mut body, record.value.as_deref());
    put_varlong(&mut body, record.headers.len() as i64);
    for (key, value) in &record.headers {
        put_nullable(&mut body, Some(key.as_bytes()));
        put_nullable(&mut body, value.as_deref());
    }
    put_varlong(out, body.len() as i64);
    out.extend(body);
}

/// Appends a number in zigzag, seven bits a byte; a varint is written the same way.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.put_u8(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varlong(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

fn read_record(bytes: &mut Bytes) -> Record {
    let length = usize::try_from(varlong(bytes)).expect("a record's length is not negative");
    let mut body = bytes.split_to(length);
    assert_eq!(body.get_u8(), 0, "a record has no attributes");
    let record = Record {
        timestamp_delta: varlong(&mut body),
        offset_delta: varlong(&mut body).try_into().expect("an offset delta has 32 bits"),
        key: nullable(&mut body),
        value: nullable(&mut body),
        headers: (0..varlong(&mut body)).map(|_| header(&mut body)).collect(),
    };
    assert!(body.is_empty(), "{} bytes follow {record:?}", body.len());
    record
}

fn header(bytes: &mut Bytes) -> (String, Option<Bytes>) {
    let key = nullable(bytes).expect("a header's key is not null");
    (String::from_utf8(key.to_vec()).expect("a header's key is UTF-8"), nullable(bytes))
}

fn nullable(bytes: &mut Bytes) -> Option<Bytes> {
    match varlong(bytes) {
        -1 => None,
        length => Some(bytes.split_to(usize::try_from(length).expect("only -1 stands for null"))),
    }
}

fn varlong(bytes: &mut Bytes) -> i64 {
    let mut zigzag = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.get_u8();
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        }
    }
    panic!("a varlong of more than ten bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let headers = vec![("a".to_owned(), None), ("a".to_owned(), Some(Bytes::from_static(b"2")))];
        let records = [
            Record { key: Some("k".into()), value: None, headers, ..Record::default() },
            Record { timestamp_delta: 1_000, offset_delta: 1, value: Some("v".into()), ..Record::default() },
        ];
        let batch = Batch::of_records(records.clone()).from_producer(7, 0, 3).transactional();
        let bytes = [batch.encode(), batch.encode(), batch.encode().slice(..20)].concat();
        let read = Batch::decode_all(bytes.into());
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].records(), records);
        assert_eq!((read[0].producer_id, read[0].base_sequence, read[0].last_offset_delta), (7, 3, 1));
        assert_eq!(read[0].encode(), batch.encode());
    }

    /// Every segment of a real Kafka in `fixtures/wire/batches`, with the name of its topic.
    fn evidence() -> Vec<(String, Bytes)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/wire/batches");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let segment = |path: &std::path::Path| {
            let text = std::fs::read_to_string(path).unwrap();
            let digits: Vec<u32> = text.lines().skip(1).flat_map(str::chars).map(|c| c.to_digit(16).unwrap()).collect();
            digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
        };
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
            .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), segment(&path)))
            .collect()
    }

    #[test]
    fn a_segment_of_a_real_kafka_is_read_and_written_back() {
        let evidence = evidence();
        assert!(evidence.len() >= 16, "{evidence:?}");
        for (topic, segment) in evidence {
            let batches = Batch::decode_all(segment.clone());
            // Length and CRC are computed again.
            let ours = |batch: &Batch| Batch { batch_length: None, crc: None, ..batch.clone() }.encode();
            assert_eq!(batches.iter().map(ours).collect::<Vec<_>>().concat(), segment, "{topic}");
            for batch in batches.iter().filter(|batch| batch.attributes & 0b111 == 0) {
                let mut records = Vec::new();
                batch.records().iter().for_each(|record| put_record(&mut records, record));
                assert_eq!(records, batch.payload, "{topic}");
            }
        }
    }
}
