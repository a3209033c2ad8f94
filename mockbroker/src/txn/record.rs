//! The records of `__transaction_state`, as Kafka writes them.
//!
//! ```text
//! key      type i16 = 0, transactional id: i16 length and bytes
//! value 0  version i16 = 0, producer id i64, producer epoch i16, timeout i32, state i8,
//!          partitions: i32 count (-1 null) of [topic: i16 length and bytes, partitions: i32 count of i32],
//!          last update i64, start i64
//! value 1  the same with compact lengths (one more than the length, 0 null) and tagged fields:
//!          0 previous producer id i64, 1 next producer id i64, 2 client transaction version i16
//! ```
//!
//! A null value forgets the transactional id. Source: TransactionLogKey.json, TransactionLogValue.json,
//! `TransactionLog.java`. Reading trusts nothing.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

use super::{ClientVersion, Metadata, TopicPartition, TransactionState};

/// What is persisted of one transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) transactional_id: StrBytes,
    /// `None` forgets it.
    pub(crate) metadata: Option<Metadata>,
}

/// The bytes are not such a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_VERSION: u32 = 2;

impl Record {
    /// The key.
    pub(crate) fn key(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(0);
        put_string(&mut out, &self.transactional_id, false);
        out.freeze()
    }

    /// The value; `None` for a tombstone. The level of the feature `transaction.version` decides its version.
    pub(crate) fn value(&self, transaction_version: i16) -> Option<Bytes> {
        let metadata = self.metadata.as_ref()?;
        let is_flexible = transaction_version >= 1;
        let mut out = BytesMut::new();
        out.put_i16(i16::from(is_flexible));
        out.put_i64(metadata.producer_id);
        out.put_i16(metadata.producer_epoch);
        out.put_i32(metadata.timeout_ms);
        out.put_i8(metadata.state as i8);
        if metadata.state == TransactionState::Empty {
            put_length(&mut out, None, is_flexible);
        } else {
            put_partitions(&mut out, &metadata.partitions, is_flexible);
        }
        out.put_i64(metadata.last_update_time_ms);
        out.put_i64(metadata.start_time_ms);
        if is_flexible {
            put_tags(&mut out, metadata);
        }
        Some(out.freeze())
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// If it is none that this version of Kafka writes.
    pub(crate) fn read(key: &[u8], value: Option<&[u8]>) -> Result<Self, Malformed> {
        let mut key = Reader { rest: key, is_flexible: false };
        if key.i16()? != 0 {
            return Err(Malformed);
        }
        let transactional_id = key.string()?;
        let metadata = value.map(read_value).transpose()?;
        Ok(Self { transactional_id, metadata })
    }
}

fn put_partitions(out: &mut BytesMut, partitions: &BTreeSet<TopicPartition>, is_flexible: bool) {
    let all: Vec<&TopicPartition> = partitions.iter().collect();
    let topics: Vec<_> = all.chunk_by(|a, b| a.topic == b.topic).collect();
    put_length(out, Some(topics.len()), is_flexible);
    for topic in topics {
        put_string(out, &topic[0].topic, is_flexible);
        put_length(out, Some(topic.len()), is_flexible);
        topic.iter().for_each(|partition| out.put_i32(partition.partition));
        if is_flexible {
            put_varint(out, 0);
        }
    }
}

/// Only what differs from its default is written.
fn put_tags(out: &mut BytesMut, metadata: &Metadata) {
    let ids =
        [(TAG_PREVIOUS_PRODUCER_ID, metadata.previous_producer_id), (TAG_NEXT_PRODUCER_ID, metadata.next_producer_id)];
    let ids: Vec<_> = ids.into_iter().filter(|(_, id)| *id != -1).collect();
    let has_version = metadata.client_version != ClientVersion::V0;
    put_varint(out, u32::try_from(ids.len()).unwrap_or(0) + u32::from(has_version));
    for (tag, id) in ids {
        put_varint(out, tag);
        put_varint(out, 8);
        out.put_i64(id);
    }
    if has_version {
        put_varint(out, TAG_CLIENT_VERSION);
        put_varint(out, 2);
        out.put_i16(metadata.client_version as i16);
    }
}

fn put_string(out: &mut BytesMut, text: &str, is_flexible: bool) {
    if is_flexible {
        put_length(out, Some(text.len()), true);
    } else {
        out.put_i16(i16::try_from(text.len()).expect("a string of a request has at most 32767 bytes"));
    }
    out.put_slice(text.as_bytes());
}

fn put_length(out: &mut BytesMut, length: Option<usize>, is_flexible: bool) {
    let length = length.map(|length| u32::try_from(length).expect("a request has less than 2 GiB"));
    match (length, is_flexible) {
        (Some(length), true) => put_varint(out, length + 1),
        (Some(length), false) => out.put_u32(length),
        (None, true) => put_varint(out, 0),
        (None, false) => out.put_i32(-1),
    }
}

fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value > 0x7F {
        out.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn read_value(value: &[u8]) -> Result<Metadata, Malformed> {
    let mut reader = Reader { rest: value, is_flexible: false };
    reader.is_flexible = match reader.i16()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed),
    };
    let producer_id = reader.i64()?;
    let producer_epoch = reader.i16()?;
    let timeout_ms = reader.i32()?;
    let state = TransactionState::from_id(reader.i8()?).ok_or(Malformed)?;
    let partitions = reader.partitions()?;
    let mut metadata = Metadata {
        producer_id,
        previous_producer_id: -1,
        next_producer_id: -1,
        producer_epoch,
        timeout_ms,
        state,
        partitions,
        last_update_time_ms: reader.i64()?,
        start_time_ms: reader.i64()?,
        client_version: ClientVersion::V0,
    };
    reader.tags(|tag, field| {
        match tag {
            TAG_PREVIOUS_PRODUCER_ID => metadata.previous_producer_id = field.i64()?,
            TAG_NEXT_PRODUCER_ID => metadata.next_producer_id = field.i64()?,
            TAG_CLIENT_VERSION => metadata.client_version = ClientVersion::of_feature(field.i16()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(metadata)
}

struct Reader<'a> {
    rest: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    fn i8(&mut self) -> Result<i8, Malformed> {
        self.rest.try_get_i8().map_err(|_| Malformed)
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        self.rest.try_get_i16().map_err(|_| Malformed)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.rest.try_get_i32().map_err(|_| Malformed)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.rest.try_get_i64().map_err(|_| Malformed)
    }

    fn string(&mut self) -> Result<StrBytes, Malformed> {
        let length = if self.is_flexible { self.compact_length()? } else { usize::try_from(self.i16()?).ok() };
        let (text, rest) = self.rest.split_at_checked(length.ok_or(Malformed)?).ok_or(Malformed)?;
        self.rest = rest;
        let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
        Ok(StrBytes::from_string(text.to_owned()))
    }

    fn partitions(&mut self) -> Result<BTreeSet<TopicPartition>, Malformed> {
        let mut partitions = BTreeSet::new();
        for _ in 0..self.length()?.unwrap_or(0) {
            let topic = self.string()?;
            for _ in 0..self.length()?.ok_or(Malformed)? {
                partitions.insert(TopicPartition { topic: topic.clone(), partition: self.i32()? });
            }
            self.tags(|_, _| Ok(()))?;
        }
        Ok(partitions)
    }

    fn tags(&mut self, mut read: impl FnMut(u32, &mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let (tag, length) = (self.varint()?, self.varint()?);
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            let (field, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
            self.rest = rest;
            read(tag, &mut Self { rest: field, is_flexible: true })?;
        }
        Ok(())
    }

    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        if self.is_flexible { self.compact_length() } else { Ok(usize::try_from(self.i32()?).ok()) }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(self.varint()?.checked_sub(1).and_then(|length| usize::try_from(length).ok()))
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.rest.try_get_u8().map_err(|_| Malformed)?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}
