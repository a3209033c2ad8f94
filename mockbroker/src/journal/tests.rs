//! What the ring keeps, and what it forgets.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{BufMut, Bytes};

use super::*;
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId};
use crate::wire::outgoing::Outgoing;

const CONNECTION: ConnectionId = ConnectionId(3);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A Metadata request v9 of "me" with so many bytes after its header.
fn request(size: usize) -> Bytes {
    let mut frame = vec![0, 3, 0, 9, 0, 0, 0, 7, 0, 2, b'm', b'e', 0];
    frame.resize(frame.len() + size, 0);
    frame.into()
}

/// A frame of one small piece, or with a shared one.
fn answer(shared: usize) -> Outgoing {
    let mut outgoing = Outgoing::default();
    let start = outgoing.begin_frame();
    outgoing.put(|tail| tail.put_slice(b"answer"));
    outgoing.put_shared(Bytes::from(vec![7; shared]));
    outgoing.end_frame(start).unwrap();
    outgoing
}

fn push(ring: &mut Ring, size: usize, shared: usize) -> u64 {
    let outgoing = answer(shared);
    let start = Outgoing::default().mark();
    let number = ring.next_number();
    assert_eq!(ring.push(CONNECTION, at(5), &request(size), outgoing.frame_since(start)), None, "it does not wait");
    number
}

fn entry(ring: &Ring, number: u64) -> Entry {
    let kept = ring.since(number).next().unwrap();
    Entry::new(kept.number(), kept.record(), ring.peers().get(&kept.connection()).cloned())
}

#[test]
fn a_request_is_kept_with_its_answer_whole_or_in_pieces() {
    for shared in [0, 100, 100_000] {
        let mut ring = Ring::default();
        let number = push(&mut ring, 20_000, shared);
        let entry = entry(&ring, number);
        assert_eq!(entry.request_bytes(), request(20_000));
        assert_eq!(entry.answer_bytes().unwrap(), [&b"answer"[..], &vec![7; shared]].concat());
        assert_eq!((entry.client_id(), entry.correlation_id(), entry.decision()), ("me", 7, Decision::Answered));
    }
}

#[test]
fn what_is_kept_is_bounded_and_what_is_not_is_counted() {
    let mut ring = Ring::default();
    for _ in 0..10_007 {
        push(&mut ring, 0, 0);
    }
    assert_eq!((ring.forgotten(), ring.next_number(), ring.since(0).count()), (7, 10_007, 10_000));
    // Two of them are more than 16 MiB: of such there is always the last one.
    let number = push(&mut ring, 0, 10 << 20);
    assert_eq!(ring.since(number).count(), 1);
    let last = push(&mut ring, 0, 10 << 20);
    assert_eq!((ring.forgotten(), ring.since(0).count()), (last, 1));
    push(&mut ring, 17 << 20, 0);
    assert_eq!(ring.since(0).count(), 1);
}

#[test]
fn a_request_that_waits_is_there_and_ends_later() {
    let mut ring = Ring::default();
    ring.opened(CONNECTION, NodeId(1), SocketAddr::from((Ipv4Addr::LOCALHOST, 4242)), at(1));
    ring.hit(CONNECTION, "held");
    let number = ring.push(CONNECTION, at(5), &request(0), None).unwrap();
    assert_eq!(entry(&ring, number).to_string(), "c3 n1 me Metadata v9 -> waits [held]");
    assert_eq!(entry(&ring, number).took(), None);
    ring.decide(number, at(25), Fate::Closed("of a fault".into()));
    let ended = entry(&ring, number);
    assert_eq!(ended.to_string(), "c3 n1 me Metadata v9 -> closed: of a fault [held]");
    assert_eq!(ended.took().unwrap().as_millis(), 20);
    // The next request of the connection has met nothing.
    let number = ring.push(CONNECTION, at(30), &request(0), None).unwrap();
    assert!(entry(&ring, number).faults().is_empty());
}

#[test]
fn bytes_that_are_no_request_are_kept_as_they_are() {
    let mut ring = Ring::default();
    for bytes in [&b""[..], b"G", b"\x00\x63\x00\x01\x00", b"\x00\x03"] {
        let number = ring.push(CONNECTION, at(0), &Bytes::from_static(bytes), None).unwrap();
        ring.decide(number, at(0), Fate::Closed("no".into()));
        let entry = entry(&ring, number);
        assert!(entry.request().is_null() && entry.answer().is_none());
        assert!(entry.to_string().ends_with("-> closed: no"), "{entry}");
    }
}

#[test]
fn an_answer_that_comes_late_is_found_and_what_is_old_goes_in_its_order() {
    let mut ring = Ring::default();
    let waits = ring.push(CONNECTION, at(5), &request(0), None).unwrap();
    for _ in 0..2000 {
        push(&mut ring, 1000, 0);
    }
    let late = answer(0);
    ring.answered(waits, at(40), late.frame_since(Outgoing::default().mark()).unwrap());
    let answered = entry(&ring, waits);
    assert_eq!((answered.decision(), answered.took().unwrap().as_millis()), (Decision::Answered, 35));
    assert_eq!(answered.answer_bytes().unwrap(), &b"answer"[..]);
    // Of 7 KiB each fewer than 10,000 fit into 16 MiB.
    for _ in 0..4000 {
        push(&mut ring, 7000, 0);
    }
    let (first, kept) = (ring.forgotten(), ring.since(0).count() as u64);
    assert_eq!(first + kept, ring.next_number());
    assert!((2200..2400).contains(&kept), "{kept}");
    assert_eq!(ring.since(0).next().unwrap().number(), first);
    assert!(ring.since(0).all(|kept| kept.record().request == request(7000)));
    // What waited is long forgotten, and nobody minds.
    ring.decide(waits, at(50), Fate::PeerGone);
    assert_eq!(ring.since(0).count() as u64, kept);
}

#[test]
fn what_has_changed_is_what_came_and_what_ended_since() {
    let mut ring = Ring::default();
    let changed = |ring: &Ring, written| ring.changed(written).map(|kept| kept.number()).collect::<Vec<_>>();
    let waits = ring.push(CONNECTION, at(5), &request(0), None).unwrap();
    let gone = ring.push(CONNECTION, at(5), &request(9), None).unwrap();
    push(&mut ring, 0, 0);
    let mark = ring.written();
    assert!(changed(&ring, mark).is_empty());
    for _ in 0..2000 {
        push(&mut ring, 1000, 0);
    }
    let before = ring.written();
    let late = answer(0);
    ring.answered(waits, at(40), late.frame_since(Outgoing::default().mark()).unwrap());
    let last = push(&mut ring, 0, 0);
    ring.decide(gone, at(50), Fate::PeerGone);
    assert_eq!(changed(&ring, before), [waits, gone, last]);
    assert!(changed(&ring, ring.written()).is_empty());
    assert_eq!(changed(&ring, mark).len(), 2003);
    // From the beginning it is all there is, each with what became of it.
    let story = |kept: Kept<'_>| format!("{:?}", (kept.number(), kept.record()));
    assert_eq!(ring.changed(0).map(story).collect::<Vec<_>>(), ring.since(0).map(story).collect::<Vec<_>>());
    // What is forgotten does not come back by its end.
    let waits = ring.push(CONNECTION, at(60), &request(0), None).unwrap();
    for _ in 0..10_000 {
        push(&mut ring, 0, 0);
    }
    let before = ring.written();
    ring.decide(waits, at(70), Fate::PeerGone);
    assert!(changed(&ring, before).is_empty());
}
