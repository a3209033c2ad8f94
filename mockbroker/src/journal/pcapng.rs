//! The journal as a capture file, for Wireshark and tshark.
//!
//! Every connection is a TCP stream from its client to port 9092, which Wireshark takes for Kafka, of an address that stands
//! for the node: node 0 is 127.1.0.0, node 259 is 127.1.1.3. Time is the broker's clock. Faults, and why a connection was
//! closed, are comments on the packets.
//!
//! Source: draft-ietf-opsawg-pcapng (blocks, LINKTYPE_RAW), RFC 791, RFC 9293.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::entry::{Decision, Entry};
use crate::types::ConnectionId;

/// Wireshark takes this port for Kafka.
const KAFKA_PORT: u16 = 9092;
/// IP packets without a link layer.
const LINKTYPE_RAW: u16 = 101;
/// What goes into one packet: its length is 16 bits, headers included.
const SEGMENT_BYTES: usize = 60_000;
const IP_HEADER_BYTES: usize = 20;
const TCP_HEADER_BYTES: usize = 20;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A whole file of these requests and answers.
pub(super) fn pcapng(entries: &[Entry]) -> Vec<u8> {
    let mut events: Vec<Event<'_>> = Vec::new();
    for entry in entries {
        events.push(Event { millis: entry.arrived().as_millis(), entry, is_answer: false });
        if let Some(took) = entry.took() {
            let decided = entry.arrived() + took;
            events.push(Event { millis: decided.as_millis(), entry, is_answer: true });
        }
    }
    // An answer of the same millisecond comes after its request and before the next one; the sort is stable.
    events.sort_by_key(|event| event.millis);
    let mut file = File { out: Vec::new(), streams: BTreeMap::new() };
    file.begin();
    for event in &events {
        file.event(event);
    }
    file.out
}

struct Event<'a> {
    millis: i64,
    entry: &'a Entry,
    is_answer: bool,
}

/// A TCP stream on paper: what each side sends next.
#[derive(Clone, Copy)]
struct Stream {
    client: (Ipv4Addr, u16),
    server: (Ipv4Addr, u16),
    client_sequence: u32,
    server_sequence: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

struct File {
    out: Vec<u8>,
    streams: BTreeMap<ConnectionId, Stream>,
}

impl File {
    /// Section header and interface description.
    fn begin(&mut self) {
        let mut section = Vec::new();
        section.extend_from_slice(&0x1A2B_3C4D_u32.to_le_bytes());
        section.extend_from_slice(&1_u16.to_le_bytes());
        section.extend_from_slice(&0_u16.to_le_bytes());
        section.extend_from_slice(&(-1_i64).to_le_bytes());
        self.block(0x0A0D_0D0A, &section);
        let mut interface = Vec::new();
        interface.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        interface.extend_from_slice(&0_u16.to_le_bytes());
        interface.extend_from_slice(&0_u32.to_le_bytes());
        self.block(1, &interface);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let total = u32::try_from(padded + 12).expect("a packet is at most 64 KiB");
        self.out.extend_from_slice(&kind.to_le_bytes());
        self.out.extend_from_slice(&total.to_le_bytes());
        self.out.extend_from_slice(body);
        self.out.resize(self.out.len() + padded - body.len(), 0);
        self.out.extend_from_slice(&total.to_le_bytes());
    }

    fn event(&mut self, event: &Event<'_>) {
        let entry = event.entry;
        let mut stream = self.stream(event);
        let comment = entry.faults().join(", ");
        if !event.is_answer {
            self.frame(&mut stream, From::Client, event.millis, &entry.request_bytes(), &comment);
        } else if let Some(answer) = entry.answer_bytes() {
            self.frame(&mut stream, From::Server, event.millis, &answer, &comment);
        } else if let Decision::Closed(reason) = entry.decision() {
            self.packet(&mut stream, From::Server, event.millis, FIN | ACK, &[], &reason);
        }
        self.streams.insert(entry.connection(), stream);
    }

    /// The stream of the event's connection; a new one begins with its handshake.
    fn stream(&mut self, event: &Event<'_>) -> Stream {
        let connection = event.entry.connection();
        if let Some(stream) = self.streams.get(&connection) {
            return *stream;
        }
        let [.., high, low] = event.entry.node().map_or(0, |node| node.0).to_be_bytes();
        // Of a connection that is forgotten nobody knows the port any more.
        let client = match event.entry.client_address() {
            Some(address) => (as_v4(address.ip()), address.port()),
            None => (Ipv4Addr::LOCALHOST, u16::try_from(connection.0 % 60_000).unwrap_or(0) + 1024),
        };
        let server = (Ipv4Addr::new(127, 1, high, low), KAFKA_PORT);
        let mut stream = Stream { client, server, client_sequence: 0, server_sequence: 0 };
        let opened = format!("connection c{}", connection.0);
        self.packet(&mut stream, From::Client, event.millis, SYN, &[], &opened);
        self.packet(&mut stream, From::Server, event.millis, SYN | ACK, &[], "");
        self.packet(&mut stream, From::Client, event.millis, ACK, &[], "");
        stream
    }

    /// A frame of Kafka with its length field, in as many packets as it takes.
    fn frame(&mut self, stream: &mut Stream, from: From, millis: i64, frame: &[u8], comment: &str) {
        let length = u32::try_from(frame.len()).expect("a frame has a length field").to_be_bytes();
        let bytes = [&length, frame].concat();
        for (number, segment) in bytes.chunks(SEGMENT_BYTES).enumerate() {
            self.packet(stream, from, millis, PSH | ACK, segment, if number == 0 { comment } else { "" });
        }
    }

    /// An enhanced packet block.
    fn packet(&mut self, stream: &mut Stream, from: From, millis: i64, flags: u8, payload: &[u8], comment: &str) {
        let packet = stream.packet(from, flags, payload);
        let micros = u64::try_from(millis).unwrap_or(0).saturating_mul(1000).to_be_bytes();
        let size = u32::try_from(packet.len()).expect("at most 64 KiB").to_le_bytes();
        let mut body = Vec::with_capacity(packet.len() + 32 + comment.len());
        body.extend_from_slice(&0_u32.to_le_bytes()); // interface
        body.extend(micros[..4].iter().rev()); // the upper half, then the lower one
        body.extend(micros[4..].iter().rev());
        body.extend_from_slice(&size);
        body.extend_from_slice(&size);
        body.extend_from_slice(&packet);
        body.resize(body.len().next_multiple_of(4), 0);
        if !comment.is_empty() {
            let comment = &comment.as_bytes()[..comment.len().min(1000)];
            body.extend_from_slice(&1_u16.to_le_bytes()); // opt_comment
            body.extend_from_slice(&u16::try_from(comment.len()).expect("at most 1000").to_le_bytes());
            body.extend_from_slice(comment);
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend_from_slice(&[0; 4]); // opt_endofopt
        }
        self.block(6, &body);
    }
}

impl Stream {
    /// An IPv4 packet with a TCP segment.
    fn packet(&mut self, from: From, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (source, target, sequence, acknowledged) = match from {
            From::Client => (self.client, self.server, self.client_sequence, self.server_sequence),
            From::Server => (self.server, self.client, self.server_sequence, self.client_sequence),
        };
        let mut tcp = Vec::with_capacity(TCP_HEADER_BYTES + payload.len());
        tcp.extend_from_slice(&source.1.to_be_bytes());
        tcp.extend_from_slice(&target.1.to_be_bytes());
        tcp.extend_from_slice(&sequence.to_be_bytes());
        let acknowledged = if flags & ACK == 0 { 0 } else { acknowledged };
        tcp.extend_from_slice(&acknowledged.to_be_bytes());
        tcp.extend_from_slice(&[(TCP_HEADER_BYTES as u8 / 4) << 4, flags]);
        tcp.extend_from_slice(&u16::MAX.to_be_bytes()); // window
        tcp.extend_from_slice(&[0; 4]); // checksum, urgent pointer
        tcp.extend_from_slice(payload);
        let tcp_size = u16::try_from(tcp.len()).expect("a segment is at most 60,020 bytes");
        let (source_ip, target_ip) = (source.0.octets(), target.0.octets());
        let pseudo = [&source_ip[..], &target_ip, &[0, 6], &tcp_size.to_be_bytes(), &tcp].concat();
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        let size = tcp_size + IP_HEADER_BYTES as u16;
        let mut ip = vec![0x45, 0];
        ip.extend_from_slice(&size.to_be_bytes());
        ip.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]); // do not fragment, TTL 64, TCP
        ip.extend_from_slice(&source_ip);
        ip.extend_from_slice(&target_ip);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend_from_slice(&tcp);
        let sent = u32::from(tcp_size) - TCP_HEADER_BYTES as u32 + u32::from(flags & (SYN | FIN) != 0);
        match from {
            From::Client => self.client_sequence = self.client_sequence.wrapping_add(sent),
            From::Server => self.server_sequence = self.server_sequence.wrapping_add(sent),
        }
        ip
    }
}

fn as_v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => address.to_ipv4_mapped().unwrap_or(Ipv4Addr::LOCALHOST),
    }
}

/// The ones' complement sum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = bytes.chunks(2).map(|it| u64::from(pair(it))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_books() {
        // RFC 1071, section 3; an IPv4 header that is in every text about it.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(checksum(&header), 0xb861);
    }
}
