//! A client in a few lines: requests as bytes, answers looked at where the error code is. It is no part of what is
//! measured, so it does as little as it can: old versions without tagged fields, no metadata, one request at a time.

use std::io::{Read, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A request frame, ready to be written.
pub type Frame = Vec<u8>;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;

/// ApiVersions v0.
pub fn api_versions() -> Frame {
    frame(API_VERSIONS, 0, |_| {})
}

/// CreateTopics v2 of one topic without replicas.
pub fn create_topic(topic: &str, partitions: i32) -> Frame {
    frame(CREATE_TOPICS, 2, |out| {
        int32(out, 1);
        string(out, topic);
        int32(out, partitions);
        int16(out, 1);
        int32(out, 0);
        int32(out, 0);
        int32(out, 10_000);
        out.push(0);
    })
}

/// Produce v8 of one batch to one partition, acks=all.
pub fn produce(topic: &str, partition: i32, batch: &[u8]) -> Frame {
    frame(PRODUCE, 8, |out| {
        int16(out, -1);
        int16(out, -1);
        int32(out, 10_000);
        int32(out, 1);
        string(out, topic);
        int32(out, 1);
        int32(out, partition);
        bytes(out, batch);
    })
}

/// Fetch v4 of one partition, up to 1 MiB, waiting up to a second for the first byte.
pub fn fetch(topic: &str, partition: i32, offset: i64) -> Frame {
    frame(FETCH, 4, |out| {
        int32(out, -1);
        int32(out, 1_000);
        int32(out, 1);
        int32(out, 1 << 20);
        out.push(0);
        int32(out, 1);
        string(out, topic);
        int32(out, 1);
        int32(out, partition);
        int64(out, offset);
        int32(out, 1 << 20);
    })
}

/// Panics unless the answer to [`create_topic`] says that the topic is there.
pub fn expect_created(topic: &str, answer: &[u8]) {
    // correlation id, throttle time, array length, name, error code
    assert_eq!(int16_at(answer, 4 + 4 + 4 + 2 + topic.len()), 0, "CreateTopics is answered with an error");
}

/// Panics unless the answer to [`produce`] says that the batch is in the log.
pub fn expect_produced(topic: &str, answer: &[u8]) {
    // correlation id, array length, name, array length, partition, error code
    assert_eq!(int16_at(answer, 4 + 4 + 2 + topic.len() + 4 + 4), 0, "Produce is answered with an error");
}

/// The bytes of record batches in the answer to [`fetch`]. Panics if it is an error.
pub fn expect_fetched(topic: &str, answer: &[u8]) -> usize {
    // correlation id, throttle time, array length, name, array length, partition
    let partition = 4 + 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(int16_at(answer, partition), 0, "Fetch is answered with an error");
    // error code, high watermark, last stable offset; then the aborted transactions, which are null or none
    let records = partition + 2 + 8 + 8 + 4;
    usize::try_from(int32_at(answer, records)).unwrap_or(0)
}

/// A record batch v2 of `count` records of `size` pseudo-random bytes, without keys, sequence or compression.
pub fn batch(count: i32, size: usize) -> Vec<u8> {
    let mut value = vec![0; size];
    fastrand::Rng::with_seed(7).fill(&mut value);
    let mut records = Vec::new();
    for number in 0..count {
        let mut record = vec![0];
        varint(&mut record, 0);
        varint(&mut record, number);
        varint(&mut record, -1);
        varint(&mut record, i32::try_from(size).expect("a value is below 2 GiB"));
        record.extend_from_slice(&value);
        varint(&mut record, 0);
        varint(&mut records, i32::try_from(record.len()).expect("a record is below 2 GiB"));
        records.extend_from_slice(&record);
    }
    let mut checked = Vec::with_capacity(records.len() + 40);
    int16(&mut checked, 0);
    int32(&mut checked, count - 1);
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_millis();
    let now = i64::try_from(now).expect("milliseconds since 1970 are 64 bits");
    int64(&mut checked, now);
    int64(&mut checked, now);
    int64(&mut checked, -1);
    int16(&mut checked, -1);
    int32(&mut checked, -1);
    int32(&mut checked, count);
    checked.extend_from_slice(&records);
    let mut batch = Vec::with_capacity(checked.len() + 21);
    int64(&mut batch, 0);
    int32(&mut batch, i32::try_from(checked.len() + 9).expect("a batch is below 2 GiB"));
    int32(&mut batch, -1);
    batch.push(2);
    batch.extend_from_slice(&crc32c::crc32c(&checked).to_be_bytes());
    batch.extend_from_slice(&checked);
    batch
}

/// Writes a request and reads the whole answer into `answer`, without its length field.
pub async fn exchange(stream: &mut tokio::net::TcpStream, request: &[u8], answer: &mut Vec<u8>) -> std::io::Result<()> {
    stream.write_all(request).await?;
    answer.clear();
    // One read takes a small answer whole, length field and all.
    while answer.len() < 4 {
        if stream.read_buf(answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = usize::try_from(int32_at(answer, 0)).expect("an answer has a length");
    while answer.len() < 4 + length {
        if stream.read_buf(answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    answer.drain(..4);
    Ok(())
}

/// As [`exchange`], on a stream that blocks.
pub fn exchange_blocking(stream: &mut std::net::TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(request)?;
    receive_blocking(stream)
}

/// The next answer of a stream that blocks.
pub fn receive_blocking(stream: &mut std::net::TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("an answer has a length")];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

pub(crate) fn frame(key: i16, version: i16, body: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut out = vec![0; 4];
    int16(&mut out, key);
    int16(&mut out, version);
    int32(&mut out, 1);
    string(&mut out, "bench");
    body(&mut out);
    let length = u32::try_from(out.len() - 4).expect("a frame is below 4 GiB");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

pub(crate) fn int16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn int32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn int64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    int16(out, i16::try_from(text.len()).expect("a name is short"));
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    int32(out, i32::try_from(value.len()).expect("a batch is below 2 GiB"));
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, value: i32) {
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn int16_at(answer: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(answer[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn int32_at(answer: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(answer[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_length_and_the_checksum_that_its_header_says() {
        let batch = batch(10, 100);
        assert_eq!(int32_at(&batch, 8), i32::try_from(batch.len() - 12).unwrap());
        assert_eq!(int32_at(&batch, 17).cast_unsigned(), crc32c::crc32c(&batch[21..]));
        assert_eq!(batch.len(), 61 + 10 * 109, "100 B of value are 109 B on the wire without a key");
    }
}
