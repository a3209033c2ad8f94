//! C.2: what is told apart before the log is asked. Every answer was seen on a real 4.3.1.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::kit::{PRODUCE, batch, bytes, payload, records};
use crate::log::{Rejected, sole_batch};

fn refused(bytes: impl Into<Bytes>) -> Rejected {
    sole_batch(&bytes.into(), PRODUCE).unwrap_err()
}

/// A length field, magic 2 and so many zeros.
fn of_length(length: i32) -> Vec<u8> {
    let mut bytes = vec![0; 12 + usize::try_from(length).unwrap_or(200)];
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes
}

fn with_magic(magic: u8) -> Vec<u8> {
    let mut bytes = batch(&records(3)).bytes().to_vec();
    bytes[16] = magic;
    bytes
}

#[test]
fn no_whole_batch_is_an_invalid_record() {
    let whole = batch(&records(3)).bytes();
    for cut in [0, 11, 12, 16, 17, whole.len() - 1] {
        let rejected = refused(whole.slice(..cut));
        assert_eq!(rejected, Rejected::outside_log(ResponseError::InvalidRecord), "cut at {cut}");
    }
}

#[test]
fn a_length_below_the_smallest_record_is_corrupt_and_fails_the_whole_request() {
    for length in [13, 0, -1, i32::MIN] {
        let mut bytes = of_length(14);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let text = format!("Record size {length} is less than the minimum record overhead (14)");
        assert_eq!(refused(bytes), Rejected::whole_request(ResponseError::CorruptMessage, Some(text)));
    }
}

#[test]
fn an_unknown_magic_is_corrupt_and_an_old_one_is_an_invalid_record() {
    for (magic, shown) in [(3, "3"), (0xff, "-1")] {
        let text = format!("Invalid magic found in record: {shown}");
        assert_eq!(refused(with_magic(magic)), Rejected::whole_request(ResponseError::CorruptMessage, Some(text)));
    }
    for magic in [0, 1] {
        assert_eq!(refused(with_magic(magic)), Rejected::outside_log(ResponseError::InvalidRecord));
    }
}

#[test]
fn an_unknown_codec_fails_the_whole_request_before_v7() {
    // From v7 on it is the log that trips over it.
    let mut bytes = batch(&records(3)).bytes().to_vec();
    bytes[22] = 5;
    let rejected = sole_batch(&bytes.clone().into(), 6).unwrap_err();
    assert_eq!(rejected, Rejected::whole_request(ResponseError::UnknownServerError, None));
    assert!(sole_batch(&bytes.into(), 7).is_ok());
}

#[test]
fn a_cut_header_is_an_unknown_error_below_51_bytes_and_corrupt_below_61() {
    for length in [14, 20, 38] {
        assert_eq!(refused(of_length(length)), Rejected::whole_request(ResponseError::UnknownServerError, None));
    }
    for length in [39, 48] {
        assert_eq!(refused(of_length(length)), Rejected::outside_log(ResponseError::CorruptMessage));
    }
    let mut placed = of_length(48);
    placed[7] = 1;
    assert_eq!(refused(placed), Rejected::in_log(ResponseError::InvalidRecord));
}

#[test]
fn more_than_one_batch_is_an_invalid_record() {
    let one = batch(&records(3)).bytes();
    assert_eq!(refused([&one[..], &one[..]].concat()), Rejected::outside_log(ResponseError::InvalidRecord));
    assert_eq!(refused([&one[..], &with_magic(1)].concat()), Rejected::outside_log(ResponseError::InvalidRecord));
}

#[test]
fn a_second_batch_that_makes_no_sense_is_corrupt_for_this_partition_only() {
    let one = batch(&records(3)).bytes();
    for second in [vec![0; 20], with_magic(5)] {
        assert_eq!(refused([&one[..], &second].concat()), Rejected::outside_log(ResponseError::CorruptMessage));
    }
    // The format of the first batch comes first.
    let old = [&with_magic(1)[..], &[0; 20]].concat();
    assert_eq!(refused(old), Rejected::outside_log(ResponseError::InvalidRecord));
}

#[test]
fn an_incomplete_tail_is_ignored_and_not_kept() {
    let one = batch(&records(3)).bytes();
    for tail in [&[0; 3][..], &one[..16], &one[..one.len() - 1]] {
        let found = sole_batch(&Bytes::from([&one[..], tail].concat()), PRODUCE).unwrap();
        assert_eq!(bytes(&found), one);
    }
}

#[test]
fn zstd_needs_produce_v7() {
    // KIP-110; the codec is looked at before the number of batches.
    let zstd = payload(b"", 1).attributes(4).bytes();
    let unsupported = Rejected::outside_log(ResponseError::UnsupportedCompressionType);
    assert_eq!(sole_batch(&zstd, 6), Err(unsupported.clone()));
    assert_eq!(sole_batch(&Bytes::from([&zstd[..], &zstd[..]].concat()), 6), Err(unsupported));
    assert!(sole_batch(&zstd, 7).is_ok());
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let whole = batch(&records(3)).bytes();
    for _ in 0..5_000 {
        let mut bytes = whole[..random.usize(..=whole.len())].to_vec();
        for _ in 0..random.usize(..4) {
            if !bytes.is_empty() {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
        let _either = sole_batch(&Bytes::from(bytes), random.i16(3..14));
    }
}
