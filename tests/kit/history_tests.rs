//! Each violation is seen, and what is right is not taken for one.

use super::*;

fn record(offset: i64, transaction: Option<i64>, value: &str) -> Logged {
    Logged::Record { offset, transaction, value: value.to_owned() }
}

fn marker(offset: i64, producer_id: i64, is_commit: bool) -> Logged {
    Logged::Marker { offset, producer_id, is_commit }
}

/// Two producers' transactions, interleaved, and a record that has none.
fn log() -> Vec<Judged> {
    judge(&[
        record(0, Some(7), "a-1"),
        record(1, Some(8), "b-1"),
        record(2, None, "c-1"),
        marker(3, 7, true),
        record(4, Some(7), "a-2"),
        marker(5, 8, false),
        marker(6, 7, true),
        record(7, Some(8), "b-2"),
    ])
}

fn read(offset: i64, value: &str, fate: Fate) -> Read {
    Read { offset, value: value.to_owned(), fate }
}

fn of(value: &str) -> (&str, u64) {
    let (writer, number) = value.split_once('-').unwrap();
    (writer, number.parse().unwrap())
}

fn text(value: &str) -> String {
    value.to_owned()
}

#[test]
fn a_marker_decides_about_what_its_producer_has_open() {
    let fates: Vec<_> = log().iter().map(|record| record.fate).collect();
    assert_eq!(fates, [Fate::Committed, Fate::Aborted, Fate::Committed, Fate::Committed, Fate::Open]);
    assert_eq!(committed(&log()), ["a-1", "c-1", "a-2"]);
}

#[test]
fn a_transaction_that_hangs_is_seen() {
    assert_eq!(settled(&log()), [Violation::Hanging { offset: 7, value: text("b-2") }]);
    assert_eq!(settled(&log()[..4]), []);
}

#[test]
fn broken_promises_are_seen() {
    let kept = [("a-1", Promise::Counts), ("b-1", Promise::Never), ("a-2", Promise::Unknown), ("x", Promise::Unknown)];
    assert_eq!(promises(&committed(&log()), kept), []);
    let broken = [("b-1", Promise::Counts), ("c-1", Promise::Never)];
    let seen = [Violation::Lost { value: text("b-1") }, Violation::CommittedAfterAbort { value: text("c-1") }];
    assert_eq!(promises(&committed(&log()), broken), seen);
}

#[test]
fn what_is_doubled_or_out_of_order_is_seen() {
    assert_eq!(order(&["a-1", "b-5", "a-2", "b-6"], of), []);
    assert_eq!(order(&["a-1", "a-1"], of), [Violation::Doubled { value: text("a-1") }]);
    let seen = [Violation::Reordered { value: text("a-1"), behind: text("a-2") }];
    assert_eq!(order(&["a-2", "b-1", "a-1"], of), seen);
}

#[test]
fn a_result_that_is_lost_doubled_or_of_nothing_is_seen() {
    assert_eq!(results(["a", "b"], ["b", "a"]), []);
    assert_eq!(results(["a", "b"], ["a"]), [Violation::Lost { value: text("b") }]);
    assert_eq!(results(["a"], ["a", "a"]), [Violation::Doubled { value: text("a") }]);
    assert_eq!(results(["a"], ["a", "x"]), [Violation::Unfounded { value: text("x") }]);
}

#[test]
fn reading_what_does_not_count_is_seen() {
    let log = log();
    assert_eq!(reads(&log, &[read(4, "a-2", Fate::Committed), read(0, "a-1", Fate::Committed)]), []);
    let aborted = Violation::AbortedRead { offset: 1, value: text("b-1") };
    assert_eq!(reads(&log, &[read(1, "b-1", Fate::Aborted)]), [aborted]);
    let open = [Violation::UncommittedRead { offset: 7, value: text("b-2"), fate: Fate::Open }];
    assert_eq!(reads(&log, &[read(7, "b-2", Fate::Open)]), open);
    // It was committed in the end, and not yet when it was read.
    let early = [Violation::UncommittedRead { offset: 0, value: text("a-1"), fate: Fate::Committed }];
    assert_eq!(reads(&log, &[read(0, "a-1", Fate::Open)]), early);
    for (offset, value) in [(3, "a-1"), (0, "a-2"), (9, "a-1")] {
        let seen = [Violation::PhantomRead { offset, value: text(value) }];
        assert_eq!(reads(&log, &[read(offset, value, Fate::Committed)]), seen);
    }
}

#[test]
fn a_reader_that_leaves_out_or_goes_back_is_seen() {
    let log = log();
    let [first, second, third] =
        [(0, "a-1"), (2, "c-1"), (4, "a-2")].map(|(at, value)| read(at, value, Fate::Committed));
    assert_eq!(whole_read(&log, &[first.clone(), second.clone(), third.clone()]), []);
    let unread = [Violation::Unread { offset: 2, value: text("c-1") }];
    assert_eq!(whole_read(&log, &[first.clone(), third.clone()]), unread);
    let again = [Violation::ReadAgain { offset: 0, value: text("a-1") }];
    assert_eq!(whole_read(&log, &[first.clone(), second, first, third]), again);
}

#[test]
fn a_group_that_is_not_through_is_seen() {
    assert_eq!(offset(&log(), 5), []);
    assert_eq!(offset(&log(), 8), []);
    assert_eq!(offset(&log(), 4), [Violation::OffsetBehind { committed: 4, end: 5 }]);
    assert_eq!(offset(&[], 0), []);
}
