//! G.3: who gets which epoch.

use kafka_protocol::error::ResponseError::{ConcurrentTransactions, ProducerFenced};

use super::kit::*;

#[test]
fn a_retry_of_a_bump_gets_the_same_epoch_until_somebody_else_comes() {
    // KIP-360
    let mut kit = Kit::new(2);
    let first = kit.init(None).unwrap();
    let second = kit.init(Some(first)).unwrap();
    assert_eq!(second, (first.0, first.1 + 1));
    assert_eq!(kit.init(Some(first)), Ok(second), "its answer was lost");
    assert_eq!(kit.init(Some(second)), Ok((first.0, 2)));
    assert_eq!(kit.init(Some(first)), Err(ProducerFenced));
    assert_eq!(kit.init(None), Ok((first.0, 3)));
    assert_eq!(kit.init(Some(second)), Err(ProducerFenced), "another has been here");
}

#[test]
fn an_open_transaction_is_aborted_first() {
    // The epoch that fences is told to nobody with version 1, and to its own producer with version 2.
    for (version, level, of_retry, of_another) in
        [(V0, 1, Err(ProducerFenced), Ok((0, 2))), (V2, 2, Ok((0, 1)), Ok((0, 2)))]
    {
        for (expected, answer) in [(Some((0, 0)), of_retry), (None, of_another)] {
            let mut kit = Kit::new(level);
            let producer = kit.init(None).unwrap();
            kit.add(producer, version).unwrap();
            assert_eq!(kit.init(expected), Err(ConcurrentTransactions));
            assert_eq!(kit.init(expected), Err(ConcurrentTransactions), "the markers are on their way");
            let [markers] = &kit.markers[..] else { panic!("{:?}", kit.markers) };
            assert_eq!((markers.producer_epoch, markers.is_commit, markers.bumps_epoch), (1, false, version == V2));
            kit.write_markers();
            assert_eq!(kit.init(expected), answer, "{version:?} {expected:?}");
        }
    }
}

#[test]
fn when_the_epochs_are_used_up_the_producer_gets_a_new_id() {
    let mut kit = Kit::new(2);
    let first = kit.init(None).unwrap();
    kit.skip_to_epoch(32_765);
    let producer = kit.init(None).unwrap();
    assert_eq!(producer, (first.0, 32_766));
    let next = kit.init(Some(producer)).unwrap();
    assert_eq!(next, (first.0 + 1, 0));
    // The answer was lost: the old id is known as the previous one, but what its retry gets is the new one.
    assert_eq!(kit.init(Some(producer)), Ok(next));
    assert_eq!(kit.init(Some((first.0, 32_765))), Err(ProducerFenced));
}

#[test]
fn whoever_is_not_known_any_more_begins_anew_whatever_it_has() {
    let mut kit = Kit::new(2);
    assert_eq!(kit.init(Some((77, 5))), Ok((0, 0)));
}
