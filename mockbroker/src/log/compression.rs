//! The codecs of record batches, as Java reads and writes them: gzip, snappy in xerial's framing, LZ4 frames, zstd.
//!
//! Reading is streaming. What comes out is limited, so that a few hostile bytes cannot hold the machine up; Kafka has no
//! such limit. Not here: what a record is.
//!
//! Source: `org.apache.kafka.common.compress`, `org.xerial.snappy.SnappyInputStream`, `Lz4BlockInputStream`,
//! `java.util.zip.GZIPInputStream`.

use std::io::{self, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::batch::Compression;
use super::lz4::FrameReader;
use crate::cluster::CompressionType;

/// The most that one batch may decompress into. A hundred times what brokers accept by default, and still held by any
/// machine that runs tests.
pub(super) const MAX_DECOMPRESSED_BYTES: u64 = 256 * 1024 * 1024;

/// Decompresses a whole block.
///
/// # Errors
///
/// If it is not what the codec says, or longer than [`MAX_DECOMPRESSED_BYTES`].
pub(super) fn decompress(codec: Compression, block: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader(codec, block)?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// Reads what `block` decompresses into, piece by piece.
///
/// # Errors
///
/// If the block does not begin as the codec's blocks do; the reader's own errors are of the same kind.
pub(super) fn reader(codec: Compression, block: &[u8]) -> io::Result<impl Read> {
    let source: Box<dyn Read + '_> = match codec {
        Compression::None => Box::new(block),
        Compression::Gzip => Box::new(GzipMembers::new(block)),
        Compression::Snappy => Box::new(XerialBlocks::new(block)?),
        Compression::Lz4 => Box::new(FrameReader::new(block)?),
        // Unlike the others, zstd-jni takes no bytes for no frames.
        Compression::Zstd if block.is_empty() => Box::new(block),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(block)?),
    };
    Ok(Limited { source, left: MAX_DECOMPRESSED_BYTES })
}

/// Compresses with the codec and level of a topic. `Producer` is not a codec: it leaves the bytes as they are, and so
/// does `Uncompressed`. LZ4 has one level here.
///
/// # Errors
///
/// If the codec itself fails; writing to memory does not.
pub(super) fn compress(target: CompressionType, plain: &[u8]) -> io::Result<Vec<u8>> {
    match target {
        CompressionType::Producer | CompressionType::Uncompressed => Ok(plain.to_vec()),
        CompressionType::Gzip { level } => {
            // -1 is zlib's own default.
            let level = u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain)?;
            encoder.finish()
        }
        CompressionType::Snappy => compress_xerial(plain),
        CompressionType::Lz4 { .. } => {
            // What Lz4BlockOutputStream writes: 64 KiB blocks, independent, no checksums but the descriptor's.
            let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(plain)?;
            encoder.finish().map_err(io::Error::other)
        }
        CompressionType::Zstd { level } => zstd::stream::encode_all(plain, level),
    }
}

/// Fails once more than `left` bytes came out, instead of ending there as [`io::Take`] does.
struct Limited<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| invalid("decompresses into too much"))?;
        Ok(read)
    }
}

/// Gzip members one after another. What follows the last one and is no member is ignored, as `GZIPInputStream` does.
struct GzipMembers<'a> {
    decoder: GzDecoder<&'a [u8]>,
    is_first: bool,
}

/// Header and trailer of a member: what is shorter cannot be one.
const SMALLEST_GZIP_MEMBER: usize = 18;

impl<'a> GzipMembers<'a> {
    fn new(block: &'a [u8]) -> Self {
        Self { decoder: GzDecoder::new(block), is_first: true }
    }
}

impl Read for GzipMembers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.decoder.read(buffer) {
                Ok(0) => {}
                Err(_) if !self.is_first && self.decoder.header().is_none() => return Ok(0),
                other => return other,
            }
            let rest: &[u8] = self.decoder.get_ref();
            if rest.len() < SMALLEST_GZIP_MEMBER {
                return Ok(0);
            }
            self.decoder = GzDecoder::new(rest);
            self.is_first = false;
        }
    }
}

/// What xerial's stream begins with; then a version and the lowest version that can read it.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

/// How much xerial compresses at a time.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// No element of a snappy block makes more of its bytes than a copy: 64 of 3.
const SNAPPY_MAX_RATIO: usize = 22;

/// Blocks of `length i32, snappy block` after a header; or, without the header, one bare snappy block.
struct XerialBlocks<'a> {
    input: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    at: usize,
}

impl<'a> XerialBlocks<'a> {
    fn new(input: &'a [u8]) -> io::Result<Self> {
        if input.is_empty() {
            return Err(invalid("an empty snappy stream"));
        }
        let framed = input.len() >= XERIAL_HEADER.len() && input.starts_with(&XERIAL_MAGIC);
        let mut blocks = Self { input, framed, block: Vec::new(), at: 0 };
        if framed {
            blocks.take_header()?;
        } else {
            blocks.decompress(input)?;
            blocks.input = &[];
        }
        Ok(blocks)
    }

    /// Takes a header off the front, which may also stand between blocks.
    fn take_header(&mut self) -> io::Result<()> {
        let (header, rest) = self.input.split_first_chunk::<16>().ok_or_else(|| invalid("a cut snappy header"))?;
        let compatible = i32::from_be_bytes([header[12], header[13], header[14], header[15]]);
        if !header.starts_with(&XERIAL_MAGIC) || compatible < 1 {
            return Err(invalid("not a snappy header"));
        }
        self.input = rest;
        Ok(())
    }

    /// Makes the next block the current one. `false` at the end; fewer than four bytes are an end too.
    fn next_block(&mut self) -> io::Result<bool> {
        while self.framed {
            let Some((length, rest)) = self.input.split_first_chunk::<4>() else {
                return Ok(false);
            };
            if length[..] == XERIAL_MAGIC[..4] {
                self.take_header()?;
                continue;
            }
            let length =
                usize::try_from(i32::from_be_bytes(*length)).map_err(|_| invalid("a negative snappy block"))?;
            let (block, rest) = rest.split_at_checked(length).ok_or_else(|| invalid("a cut snappy block"))?;
            self.input = rest;
            self.decompress(block)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The length that a block claims is believed only within what snappy can make of it.
    fn decompress(&mut self, block: &[u8]) -> io::Result<()> {
        let length = snap::raw::decompress_len(block).map_err(io::Error::other)?;
        if length > block.len().saturating_mul(SNAPPY_MAX_RATIO) {
            return Err(invalid("a snappy block that claims too much"));
        }
        self.block.resize(length, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(block, &mut self.block).map_err(io::Error::other)?;
        Ok(())
    }
}

impl Read for XerialBlocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let read = (&self.block[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// `SnappyOutputStream`: the header, then 32 KiB at a time.
fn compress_xerial(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = XERIAL_HEADER.to_vec();
    for chunk in plain.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(chunk).map_err(io::Error::other)?;
        let length = i32::try_from(block.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
