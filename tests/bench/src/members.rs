//! Members of groups as bytes: what `groups` sends and what it looks at in the answers.

use crate::raw::{Frame, bytes, frame, int16, int16_at, int32, int32_at, int64, string};

const OFFSET_COMMIT: i16 = 8;
const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const SYNC_GROUP: i16 = 14;
const CONSUMER_GROUP_HEARTBEAT: i16 = 68;

/// MEMBER_ID_REQUIRED: the first answer to whoever has no id (KIP-394).
pub const MEMBER_ID_REQUIRED: i16 = 79;

/// FindCoordinator v1 of a group.
pub fn find_coordinator(group: &str) -> Frame {
    frame(FIND_COORDINATOR, 1, |out| {
        string(out, group);
        out.push(0);
    })
}

/// The error of [`find_coordinator`]'s answer.
pub fn coordinator_error(answer: &[u8]) -> i16 {
    // correlation id, throttle time
    int16_at(answer, 8)
}

/// OffsetCommit v2 by nobody in particular: the group holds offsets and no members.
pub fn commit(group: &str, topic: &str, offset: i64) -> Frame {
    frame(OFFSET_COMMIT, 2, |out| {
        string(out, group);
        int32(out, -1);
        string(out, "");
        int64(out, -1);
        int32(out, 1);
        string(out, topic);
        int32(out, 1);
        int32(out, 0);
        int64(out, offset);
        string(out, "");
    })
}

/// The error of [`commit`]'s answer.
pub fn commit_error(topic: &str, answer: &[u8]) -> i16 {
    // correlation id, array length, name, array length, partition
    int16_at(answer, 4 + 4 + 2 + topic.len() + 4 + 4)
}

/// JoinGroup v5 with the assignor `range` and a subscription to one topic.
pub fn join(group: &str, member_id: &str, topic: &str) -> Frame {
    let mut subscription = Vec::new();
    int16(&mut subscription, 0);
    int32(&mut subscription, 1);
    string(&mut subscription, topic);
    int32(&mut subscription, -1);
    frame(JOIN_GROUP, 5, |out| {
        string(out, group);
        int32(out, 45_000);
        int32(out, 300_000);
        string(out, member_id);
        int16(out, -1);
        string(out, "consumer");
        int32(out, 1);
        string(out, "range");
        bytes(out, &subscription);
    })
}

/// What [`join`] is answered with.
#[derive(Debug)]
pub struct Joined {
    /// Kafka's error code.
    pub error: i16,
    /// The generation of the group.
    pub generation_id: i32,
    /// The member that assigns.
    pub leader: String,
    /// The id that the broker gave.
    pub member_id: String,
    /// For the leader: all of them.
    pub members: Vec<String>,
}

/// Reads the answer to [`join`].
pub fn joined(answer: &[u8]) -> Joined {
    // correlation id, throttle time
    let mut reader = Reader { rest: &answer[8..] };
    let (error, generation_id) = (reader.int16(), reader.int32());
    reader.string();
    let (leader, member_id) = (reader.string(), reader.string());
    let members = (0..reader.int32())
        .map(|_| {
            let member = reader.string();
            assert_eq!(reader.int16(), -1, "no member is static");
            let subscription = usize::try_from(reader.int32()).expect("a subscription has a length");
            reader.take(subscription);
            member
        })
        .collect();
    Joined { error, generation_id, leader, member_id, members }
}

/// SyncGroup v3; `members` are given a few bytes each, which is what the leader sends.
pub fn sync(group: &str, generation_id: i32, member_id: &str, members: &[String]) -> Frame {
    frame(SYNC_GROUP, 3, |out| {
        string(out, group);
        int32(out, generation_id);
        string(out, member_id);
        int16(out, -1);
        int32(out, i32::try_from(members.len()).expect("not so many members"));
        for member in members {
            string(out, member);
            bytes(out, b"assigned");
        }
    })
}

/// Panics unless [`sync`] was answered with the assignment.
pub fn expect_synced(answer: &[u8]) {
    assert_eq!(int16_at(answer, 8), 0, "SyncGroup is answered with an error");
    assert_eq!(int32_at(answer, 10), 8, "the assignment is what the leader sent");
}

/// A member of the consumer protocol: what it knows, and its next ConsumerGroupHeartbeat v0.
#[derive(Debug, Default)]
pub struct Member {
    member_id: String,
    epoch: i32,
    topic_id: [u8; 16],
    /// The partitions that it has.
    pub partitions: Vec<i32>,
    tells_partitions: bool,
}

impl Member {
    /// The heartbeat: everything at first, then what has changed.
    pub fn heartbeat(&self, group: &str, topic: &str) -> Frame {
        frame(CONSUMER_GROUP_HEARTBEAT, 0, |out| {
            out.push(0);
            compact(out, Some(group));
            compact(out, Some(&self.member_id));
            int32(out, self.epoch);
            compact(out, None);
            compact(out, None);
            int32(out, if self.epoch == 0 { 300_000 } else { -1 });
            if self.epoch == 0 {
                out.push(2);
                compact(out, Some(topic));
            } else {
                out.push(0);
            }
            compact(out, None);
            if self.epoch == 0 {
                out.push(1);
            } else if self.tells_partitions {
                self.put_partitions(out);
            } else {
                out.push(0);
            }
            out.push(0);
        })
    }

    fn put_partitions(&self, out: &mut Vec<u8>) {
        if self.partitions.is_empty() {
            return out.push(1);
        }
        out.push(2);
        out.extend_from_slice(&self.topic_id);
        varint(out, self.partitions.len() + 1);
        for partition in &self.partitions {
            int32(out, *partition);
        }
        out.push(0);
    }

    /// Takes the answer up. Says whether anything has changed.
    pub fn on_answer(&mut self, answer: &[u8]) -> bool {
        // correlation id, tagged fields, throttle time
        let mut reader = Reader { rest: &answer[9..] };
        assert_eq!(reader.int16(), 0, "ConsumerGroupHeartbeat is answered with an error");
        reader.compact();
        self.member_id = reader.compact();
        let epoch = reader.int32();
        reader.int32();
        let mut is_news = std::mem::take(&mut self.tells_partitions) || epoch != self.epoch;
        self.epoch = epoch;
        if reader.take(1) == [1] {
            let mut partitions = Vec::new();
            for _ in 1..reader.varint() {
                self.topic_id = reader.take(16).try_into().expect("sixteen bytes");
                let count = reader.varint() - 1;
                partitions.extend((0..count).map(|_| reader.int32()));
                reader.take(1);
            }
            is_news |= partitions != self.partitions;
            self.tells_partitions = true;
            self.partitions = partitions;
        }
        is_news
    }
}

fn compact(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return out.push(0) };
    varint(out, text.len() + 1);
    out.extend_from_slice(text.as_bytes());
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    fn int16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn int32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn varint(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = usize::from(self.take(1)[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn string(&mut self) -> String {
        let length = usize::try_from(self.int16()).unwrap_or(0);
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    fn compact(&mut self) -> String {
        let length = self.varint().saturating_sub(1);
        String::from_utf8_lossy(self.take(length)).into_owned()
    }
}
