//! The four codecs, framed as Kafka's Java client and librdkafka frame them. Each is a feature of the crate.
//!
//! A decompressor never writes more than it is allowed to, whatever the bytes announce.

#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd"))]
use std::io::{Read, Write};

use crate::error::BatchError;

/// How the records of a batch are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None,
    /// gzip, level 6 (Java's default level).
    Gzip,
    /// Snappy in the framing of snappy-java (`SnappyOutputStream`), which Kafka calls xerial.
    Snappy,
    /// LZ4 frames of independent 64 KiB blocks (KIP-57).
    Lz4,
    /// Zstandard, level 3 (KIP-110). Needs brokers from 2.1 on.
    Zstd,
}

/// `\x82SNAPPY\0`, then the version and the lowest compatible version, both 1.
#[cfg(feature = "snappy")]
const XERIAL_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
#[cfg(feature = "snappy")]
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
/// The block size of snappy-java.
#[cfg(feature = "snappy")]
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// A block that says it grows more than this is lying: a Snappy copy element of three bytes yields 64 at most.
#[cfg(feature = "snappy")]
const SNAPPY_MAX_RATIO: usize = 64;
/// 128 MiB, what zstd's own tools accept: a bigger window reserves its memory before any output.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Compression {
    /// The number in the attributes of a batch.
    pub(crate) const fn codec(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    pub(crate) const fn from_codec(codec: u8) -> Result<Self, BatchError> {
        Ok(match codec {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            other => return Err(BatchError::Codec(other)),
        })
    }

    /// The name in `compression.type`, which is also that of the feature.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether the codec is compiled in.
    pub(crate) const fn is_built(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The levels that can be chosen (`GzipCompression`, `ZstdCompression` of Kafka); none is an empty range.
    pub(crate) const fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Self::Gzip => 1..=9,
            Self::Zstd => -131_072..=22,
            #[expect(clippy::reversed_empty_ranges, reason = "there is nothing to choose")]
            Self::None | Self::Snappy | Self::Lz4 => 1..=0,
        }
    }

    /// Appends the compressed bytes to `output`, at the codec's own level or at one of [`Compression::levels`].
    #[cfg_attr(not(any(feature = "gzip", feature = "zstd")), expect(unused_variables, reason = "no codec has levels"))]
    pub(crate) fn compress(self, level: Option<i32>, input: &[u8], mut output: Vec<u8>) -> Result<Vec<u8>, BatchError> {
        match self {
            Self::None => output.extend_from_slice(input),
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(output, flate2::Compression::new(level.map_or(6, i32::unsigned_abs)));
                encoder.write_all(input).map_err(failed)?;
                output = encoder.finish().map_err(failed)?;
            }
            #[cfg(feature = "snappy")]
            Self::Snappy => compress_xerial(input, &mut output)?,
            #[cfg(feature = "lz4")]
            Self::Lz4 => {
                // Java reads independent blocks only (`Lz4BlockInputStream`: "Dependent block stream is unsupported").
                let frame = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max64KB)
                    .block_mode(lz4_flex::frame::BlockMode::Independent);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, output);
                encoder.write_all(input).map_err(failed)?;
                output = encoder.finish().map_err(|error| failed(std::io::Error::other(error)))?;
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(output, level.unwrap_or(3)).map_err(failed)?;
                encoder.write_all(input).map_err(failed)?;
                output = encoder.finish().map_err(failed)?;
            }
            #[cfg(not(all(feature = "gzip", feature = "lz4", feature = "snappy", feature = "zstd")))]
            absent => return Err(BatchError::NotBuilt(absent.name())),
        }
        Ok(output)
    }

    /// Decompresses, or refuses when the result would exceed `limit_bytes`.
    pub(crate) fn decompress(self, input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, BatchError> {
        match self {
            Self::None if input.len() > limit_bytes => Err(BatchError::TooLarge { limit_bytes }),
            Self::None => Ok(input.to_vec()),
            #[cfg(feature = "gzip")]
            Self::Gzip => read_limited(flate2::read::MultiGzDecoder::new(input), input.len(), limit_bytes),
            #[cfg(feature = "snappy")]
            Self::Snappy => decompress_snappy(input, limit_bytes),
            #[cfg(feature = "lz4")]
            Self::Lz4 => read_limited(lz4_flex::frame::FrameDecoder::new(input), input.len(), limit_bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
                read_limited(decoder, input.len(), limit_bytes)
            }
            #[cfg(not(all(feature = "gzip", feature = "lz4", feature = "snappy", feature = "zstd")))]
            absent => Err(BatchError::NotBuilt(absent.name())),
        }
    }
}

/// `header, (block_length: i32, block)*`, each block raw Snappy.
#[cfg(feature = "snappy")]
fn compress_xerial(input: &[u8], output: &mut Vec<u8>) -> Result<(), BatchError> {
    let mut encoder = snap::raw::Encoder::new();
    output.extend_from_slice(&XERIAL_HEADER);
    for block in input.chunks(XERIAL_BLOCK_BYTES) {
        let length_at = output.len();
        let block_at = length_at + 4;
        output.resize(block_at + snap::raw::max_compress_len(block.len()), 0);
        let length = encoder.compress(block, &mut output[block_at..]).map_err(|error| failed(error.into()))?;
        output[length_at..block_at].copy_from_slice(&(length as u32).to_be_bytes());
        output.truncate(block_at + length);
    }
    Ok(())
}

/// Xerial framing, or raw Snappy as some clients that are not Java write it (librdkafka accepts both).
#[cfg(feature = "snappy")]
fn decompress_snappy(input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, BatchError> {
    let mut output = Vec::new();
    let Some(mut rest) = input.strip_prefix(XERIAL_MAGIC) else {
        append_snappy_block(input, &mut output, limit_bytes)?;
        return Ok(output);
    };
    rest = rest.get(8..).ok_or(BatchError::Malformed("the Snappy header is cut off"))?;
    while !rest.is_empty() {
        let (length, after) =
            rest.split_first_chunk::<4>().ok_or(BatchError::Malformed("a Snappy block length is cut off"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or(BatchError::Malformed("a Snappy block is cut off"))?;
        append_snappy_block(block, &mut output, limit_bytes)?;
        rest = &after[length..];
    }
    Ok(output)
}

#[cfg(feature = "snappy")]
fn append_snappy_block(block: &[u8], output: &mut Vec<u8>, limit_bytes: usize) -> Result<(), BatchError> {
    let length = snap::raw::decompress_len(block).map_err(|error| failed(error.into()))?;
    if length > limit_bytes.saturating_sub(output.len()) {
        return Err(BatchError::TooLarge { limit_bytes });
    }
    if length / SNAPPY_MAX_RATIO > block.len() {
        return Err(BatchError::Malformed("a Snappy block announces more than it can hold"));
    }
    let start = output.len();
    output.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut output[start..]).map_err(|error| failed(error.into()))?;
    Ok(())
}

#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd"))]
fn read_limited(decoder: impl Read, input_length: usize, limit_bytes: usize) -> Result<Vec<u8>, BatchError> {
    let mut output = Vec::with_capacity(input_length.saturating_mul(4).min(limit_bytes).min(1 << 20));
    let mut limited = decoder.take(limit_bytes as u64 + 1);
    limited.read_to_end(&mut output).map_err(failed)?;
    if output.len() > limit_bytes { Err(BatchError::TooLarge { limit_bytes }) } else { Ok(output) }
}

#[cfg(any(feature = "gzip", feature = "lz4", feature = "snappy", feature = "zstd"))]
fn failed(error: std::io::Error) -> BatchError {
    BatchError::Decompression(error.to_string().into())
}
