//! Reads LZ4 frames as Java does, which is less than the format allows and more than it should be: blocks must be
//! independent, there are no dictionaries, the checksum of the content is skipped, and what follows the frame is not
//! looked at.
//!
//! ```text
//! magic u32 le | flags u8 | block size u8 | [content size u64] | descriptor checksum u8
//!   then blocks: length u32 le, top bit: stored | bytes | [checksum u32 le]; length 0 ends | [content checksum u32]
//! ```
//!
//! Source: `Lz4BlockInputStream.java`, `Lz4BlockOutputStream.java`. Frames are written by `lz4_flex`, whose own reader
//! takes a frame that is cut within its end for a whole one.

use std::io::{self, Read};

/// Magic, flags and block size: `Lz4BlockInputStream` wants so many bytes before it looks at any.
const SMALLEST_FRONT: usize = 6;

const STORED: u32 = 0x8000_0000;

/// The blocks of one frame.
pub(super) struct FrameReader<'a> {
    input: &'a [u8],
    has_block_checksums: bool,
    has_content_checksum: bool,
    max_block_bytes: usize,
    block: Vec<u8>,
    at: usize,
    is_finished: bool,
}

impl<'a> FrameReader<'a> {
    /// Reads the frame's descriptor.
    ///
    /// # Errors
    ///
    /// If it is not one that Java reads.
    pub(super) fn new(input: &'a [u8]) -> io::Result<Self> {
        let Some(&[0x04, 0x22, 0x4d, 0x18, flags, block_size]) = input.first_chunk::<SMALLEST_FRONT>() else {
            return Err(invalid("not an LZ4 frame"));
        };
        let (version, reserved, is_independent) = (flags >> 6, flags & 0b11, flags & 0b10_0000 != 0);
        let size_code = block_size >> 4;
        if version != 1 || reserved != 0 || !is_independent || block_size & 0x0f != 0 || !(4..=7).contains(&size_code) {
            return Err(invalid("an LZ4 frame that Java does not read"));
        }
        let content_size_bytes = if flags & 0b1000 != 0 { 8 } else { 0 };
        let descriptor_end = SMALLEST_FRONT + content_size_bytes;
        let (descriptor, rest) = input.split_at_checked(descriptor_end).ok_or_else(cut)?;
        let (&checksum, rest) = rest.split_first().ok_or_else(cut)?;
        if checksum != xxh32(&descriptor[4..]).to_be_bytes()[2] {
            return Err(invalid("a wrong LZ4 descriptor checksum"));
        }
        Ok(Self {
            input: rest,
            has_block_checksums: flags & 0b1_0000 != 0,
            has_content_checksum: flags & 0b100 != 0,
            // 4: 64 KiB, then four times as much each.
            max_block_bytes: 1 << (8 + 2 * size_code),
            block: Vec::new(),
            at: 0,
            is_finished: false,
        })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let length = self.take_u32()?;
        let (is_stored, length) = (length & STORED != 0, (length & !STORED) as usize);
        if length == 0 {
            self.is_finished = true;
            if self.has_content_checksum {
                self.take_u32()?;
            }
            return Ok(());
        }
        if length > self.max_block_bytes {
            return Err(invalid("an LZ4 block that is too long"));
        }
        let (packed, rest) = self.input.split_at_checked(length).ok_or_else(cut)?;
        self.input = rest;
        self.at = 0;
        self.block.clear();
        if is_stored {
            self.block.extend_from_slice(packed);
        } else {
            self.block.resize(self.max_block_bytes, 0);
            let plain = lz4_flex::block::decompress_into(packed, &mut self.block).map_err(io::Error::other)?;
            self.block.truncate(plain);
        }
        if self.has_block_checksums && self.take_u32()? != xxh32(packed) {
            return Err(invalid("a wrong LZ4 block checksum"));
        }
        Ok(())
    }

    fn take_u32(&mut self) -> io::Result<u32> {
        let (bytes, rest) = self.input.split_first_chunk().ok_or_else(cut)?;
        self.input = rest;
        Ok(u32::from_le_bytes(*bytes))
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.is_finished {
            self.next_block()?;
        }
        let read = (&self.block[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// XXH32 with seed 0, the checksum of LZ4 frames (xxHash specification, section XXH32).
fn xxh32(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    let (stripes, tail) = bytes.as_chunks::<16>();
    let mut hash = if stripes.is_empty() {
        PRIMES[4]
    } else {
        let mut lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, 0u32.wrapping_sub(PRIMES[0])];
        for stripe in stripes {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.as_chunks::<4>().0) {
                let mixed = lane.wrapping_add(word(bytes).wrapping_mul(PRIMES[1]));
                *lane = mixed.rotate_left(13).wrapping_mul(PRIMES[0]);
            }
        }
        let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
        turned.fold(0, u32::wrapping_add)
    };
    // The length counts modulo 2^32.
    hash = hash.wrapping_add(bytes.len() as u32);
    let (words, tail) = tail.as_chunks::<4>();
    for bytes in words {
        hash = hash.wrapping_add(word(bytes).wrapping_mul(PRIMES[2])).rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for &byte in tail {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(PRIMES[4])).rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 16)
}

fn cut() -> io::Error {
    invalid("a cut LZ4 frame")
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
