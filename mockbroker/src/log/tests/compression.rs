//! The codecs, as Java reads and writes them. What is refused was seen on a real 4.3.1.

use std::io::Read as _;

use kafka_protocol::error::ResponseError::{self, InvalidRecord, UnknownServerError};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::kit::{payload, plain, record, records};
use crate::cluster::{CompressionType, TopicConfig};
use crate::log::batch::Compression::{self, Gzip, Lz4, Snappy, Zstd};
use crate::log::compression::{MAX_DECOMPRESSED_BYTES, compress, decompress, reader};

const CODECS: [(Compression, CompressionType); 4] = [
    (Gzip, CompressionType::Gzip { level: -1 }),
    (Snappy, CompressionType::Snappy),
    (Lz4, CompressionType::Lz4 { level: 9 }),
    (Zstd, CompressionType::Zstd { level: 3 }),
];

fn packed(codec: Compression, plain: &[u8]) -> Vec<u8> {
    compress(CODECS[codec as usize - 1].1, plain).unwrap()
}

/// What a produced block of `count` records is answered with.
fn outcome(codec: Compression, block: &[u8], count: i32) -> Option<ResponseError> {
    let batch = payload(block, count).attributes(codec as i16);
    batch.validate(&TopicConfig::default()).err().map(|rejected| {
        assert!(rejected.log_start_known && rejected.record_errors.is_empty() && rejected.message.is_none());
        rejected.error
    })
}

#[test]
fn what_is_compressed_decompresses_to_the_same_at_any_size() {
    let mut random = fastrand::Rng::with_seed(1);
    for size in [0, 1, 100, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 200_000] {
        let noise: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        let text = b"kafka".iter().copied().cycle().take(size).collect();
        for plain in [noise, text] {
            for (codec, target) in CODECS {
                let block = compress(target, &plain).unwrap();
                assert!(decompress(codec, &block).unwrap() == plain, "{codec:?}, {size}");
            }
        }
    }
}

#[test]
fn a_whole_block_is_accepted_and_a_cut_one_is_an_unknown_error() {
    for (codec, _) in CODECS {
        let block = packed(codec, &plain(&records(3)));
        assert_eq!(outcome(codec, &block, 3), None, "{codec:?}");
        for cut in [block.len() - 1, block.len() - 5, block.len() / 2, 9] {
            assert_eq!(outcome(codec, &block[..cut], 3), Some(UnknownServerError), "{codec:?} cut at {cut}");
        }
        assert_eq!(outcome(codec, &[0x99; 50], 3), Some(UnknownServerError), "{codec:?}");
    }
}

#[test]
fn an_empty_block_is_an_unknown_error_except_for_zstd() {
    for codec in [Gzip, Snappy, Lz4] {
        assert_eq!(outcome(codec, b"", 3), Some(UnknownServerError), "{codec:?}");
    }
    assert_eq!(outcome(Zstd, b"", 3), Some(InvalidRecord));
    for (codec, _) in CODECS {
        assert_eq!(outcome(codec, &packed(codec, b""), 1), Some(InvalidRecord), "{codec:?}");
    }
}

#[test]
fn the_count_must_be_that_of_the_block() {
    for (codec, _) in CODECS {
        let block = packed(codec, &plain(&records(3)));
        assert_eq!(outcome(codec, &block, 4), Some(InvalidRecord), "{codec:?}");
        assert_eq!(outcome(codec, &block, 2), Some(InvalidRecord), "{codec:?}");
        let surplus = packed(codec, &[plain(&records(3)), vec![b'x']].concat());
        assert_eq!(outcome(codec, &surplus, 3), Some(InvalidRecord), "{codec:?}");
    }
}

#[test]
fn what_follows_the_block_is_ignored_by_gzip_and_lz4_only() {
    for (codec, eight, zero) in [
        (Gzip, None, None),
        (Lz4, None, None),
        // Fewer than four bytes are the end of a xerial stream.
        (Snappy, Some(UnknownServerError), None),
        (Zstd, Some(UnknownServerError), Some(UnknownServerError)),
    ] {
        let block = packed(codec, &plain(&records(3)));
        assert_eq!(outcome(codec, &[&block[..], b"abcdefgh"].concat(), 3), eight, "{codec:?}");
        assert_eq!(outcome(codec, &[&block[..], &[0]].concat(), 3), zero, "{codec:?}");
        assert_eq!(outcome(Gzip, &[packed(Gzip, &plain(&records(3))), vec![7; 40]].concat(), 3), None);
    }
}

#[test]
fn blocks_one_after_another_are_one_stream_except_for_lz4() {
    let bytes = plain(&records(3));
    for (codec, answer) in [(Gzip, None), (Snappy, None), (Zstd, None), (Lz4, Some(InvalidRecord))] {
        let split = [packed(codec, &bytes[..9]), packed(codec, &bytes[9..])].concat();
        assert_eq!(outcome(codec, &split, 3), answer, "{codec:?}");
    }
}

#[test]
fn the_length_of_a_record_in_a_kept_block_is_not_believed() {
    // DefaultRecord.readPartiallyFrom
    for (codec, _) in CODECS {
        for length in [3, 200, -3] {
            assert_eq!(outcome(codec, &packed(codec, &record(0).length(length).bytes()), 1), None, "{codec:?}");
        }
        assert_eq!(outcome(codec, &packed(codec, &[0xff; 20]), 1), Some(InvalidRecord), "{codec:?}");
        let attributes = [&record(0).bytes()[..1], &[1], &record(0).bytes()[2..]].concat();
        assert_eq!(outcome(codec, &packed(codec, &attributes), 1), None, "{codec:?}");
    }
}

#[test]
fn offsets_out_of_order_in_a_block_are_an_unknown_error() {
    // LogValidator wants to rebuild records whose values it has skipped.
    for (codec, _) in CODECS {
        let block = packed(codec, &plain(&[record(0), record(2), record(1)]));
        assert_eq!(outcome(codec, &block, 3), Some(UnknownServerError), "{codec:?}");
    }
}

#[test]
fn a_bare_snappy_block_is_read_and_nothing_may_follow_it() {
    // SnappyInputStream.readHeader: without the header all of the input is one block.
    let block = snap::raw::Encoder::new().compress_vec(&plain(&records(3))).unwrap();
    assert_eq!(outcome(Snappy, &block, 3), None);
    assert_eq!(outcome(Snappy, &[&block[..], &[0]].concat(), 3), Some(UnknownServerError));
    assert_eq!(outcome(Snappy, &[block.clone(), block].concat(), 3), Some(UnknownServerError));
}

#[test]
fn a_snappy_block_that_claims_much_is_refused_before_memory_is_taken_for_it() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
    assert!(decompress(Snappy, &claim).is_err());
}

#[test]
fn lz4_frames_that_java_does_not_read_are_refused() {
    // Lz4BlockOutputStream.FLG.validate, BD.validate; byte 6 is the descriptor's checksum.
    let block = packed(Lz4, &plain(&records(3)));
    for (at, xor) in [(0, 1), (4, 0x20), (4, 0x80), (4, 0x01), (4, 0x02), (5, 0x40), (5, 0x80), (5, 0x01), (6, 1)] {
        let mut changed = block.clone();
        changed[at] ^= xor;
        assert_eq!(outcome(Lz4, &changed, 3), Some(UnknownServerError), "byte {at} xor {xor}");
    }
}

#[test]
fn lz4_frames_with_every_option_that_java_reads_are_read() {
    // Content size, block checksums, content checksum; all written by lz4_flex.
    let bytes: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        let info = FrameInfo::new().block_size(size).block_mode(BlockMode::Independent);
        let info = info.block_checksums(true).content_checksum(true).content_size(Some(bytes.len() as u64));
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        std::io::Write::write_all(&mut encoder, &bytes).unwrap();
        let frame = encoder.finish().unwrap();
        assert!(decompress(Lz4, &frame).unwrap() == bytes);
        // The last four bytes are the content's checksum, which is not verified; before the end mark, the block's.
        let flip = |from_end: usize| {
            let mut changed = frame.clone();
            let at = changed.len() - from_end;
            changed[at] ^= 1;
            decompress(Lz4, &changed)
        };
        assert!(flip(1).is_ok() && flip(9).is_err());
    }
}

#[test]
fn a_bomb_is_cut_off() {
    let mut bomb = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..=MAX_DECOMPRESSED_BYTES >> 20 {
        std::io::Write::write_all(&mut bomb, &zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let mut seen = 0;
    let mut reader = reader(Zstd, &bomb).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let error = loop {
        match reader.read(&mut buffer) {
            Ok(read) => seen += read as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(seen <= MAX_DECOMPRESSED_BYTES);
}

#[test]
fn no_block_makes_a_codec_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    for (codec, _) in CODECS {
        let block = packed(codec, &plain(&records(20)));
        for _ in 0..150 {
            let mut bytes = block[..random.usize(1..=block.len())].to_vec();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _either = outcome(codec, &bytes, 20);
        }
    }
}
