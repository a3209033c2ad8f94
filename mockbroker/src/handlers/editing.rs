//! Answers and requests that a test changes on their way: by a closure over the type of the answer, or their records alone.
//! The broker has built what is changed; no handler knows of it.

use std::any::Any;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Encodable;

use super::elect_leaders::ElectLeadersAnswer;
use super::fetch::FetchAnswer;
use super::table::{Request, Response};
use crate::log::Records;

/// An answer whose type a test knows.
pub(super) trait Editable {
    /// Has `edit` change the answer as the codec has it.
    fn edit(&mut self, edit: &mut dyn FnMut(&mut dyn Any));
}

impl<R: Encodable + 'static> Editable for R {
    fn edit(&mut self, edit: &mut dyn FnMut(&mut dyn Any)) {
        edit(self);
    }
}

impl Editable for ElectLeadersAnswer {
    fn edit(&mut self, edit: &mut dyn FnMut(&mut dyn Any)) {
        edit(self.response_mut());
    }
}

/// The records are in the answer while it is changed, and shared with the log again when it was not.
impl Editable for FetchAnswer {
    fn edit(&mut self, edit: &mut dyn FnMut(&mut dyn Any)) {
        let records = self.records.iter().map(Records::bytes);
        let partitions = self.response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
        for (partition, records) in partitions.zip(records) {
            partition.records = Some(records);
        }
        edit(&mut self.response);
        let partitions = self.response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
        self.records =
            partitions.map(|partition| Records::raw(&partition.records.take().unwrap_or_default())).collect();
    }
}

/// Breaks the CRC of every batch of records that is answered.
pub(crate) fn corrupt_answer(response: &mut Response) {
    if let Response::Fetch(answer) = response {
        for records in &mut answer.records {
            *records = Records::raw(&corrupted(&records.bytes()));
        }
    }
}

/// Breaks the CRC of every batch of records that is to be written.
pub(crate) fn corrupt_request(request: &mut Request) {
    if let Request::Produce(request) = request {
        let data = request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
        for records in data.filter_map(|data| data.records.as_mut()) {
            *records = corrupted(records);
        }
    }
}

/// The bytes with another last one, which is under the CRC of the last batch.
fn corrupted(records: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&records[..]);
    if let Some(last) = bytes.last_mut() {
        *last ^= 0x55;
    }
    bytes.freeze()
}
