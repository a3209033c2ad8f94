//! The journal as packets: what a capture file has, and, where tshark is installed, what it makes of it.

use mockbroker::{ApiKey, Fault, MockBroker, on};
use system_tests::api::{METADATA, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;

/// Produce at v8: the dissector of tshark 4.0 loses its way in the compact records of v9.
///
/// Two connections: one reads metadata and writes 200 kB, the other loses its answer to a fault.
async fn captured() -> (MockBroker, Vec<u8>) {
    let broker = MockBroker::builder().topic("orders", 1).start().await;
    let write = |size| {
        let records = Batch::of([vec![b'x'; size]]).encode();
        value!({ acks: -1, timeout_ms: 1000,
            topic_data: [{ name: "orders", partition_data: [{ index: 0, records: records }] }] })
    };
    let mut one = Raw::connect(broker.bootstrap_servers()).await;
    one.call(METADATA, 9, value!({ topics: null })).await;
    one.call(PRODUCE, 8, write(200_000)).await;
    let lost = broker.fault(on(ApiKey::Produce)).after_apply(Fault::Disconnect).named("answer lost").mount();
    let mut other = Raw::connect(broker.bootstrap_servers()).await;
    let _unanswered = other.send(PRODUCE, 8, write(5)).await;
    other.closed().await;
    drop(lost);
    let file = broker.journal().pcapng();
    (broker, file)
}

/// The blocks of a file: type and body, whose two lengths agree.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes"));
        let total = number(4) as usize;
        assert_eq!((total % 4, number(total - 4) as usize), (0, total));
        blocks.push((number(0), &file[8..total - 4]));
        file = &file[total..];
    }
    blocks
}

#[tokio::test]
async fn the_streams_in_the_file_are_the_frames_of_the_connections() {
    let (broker, file) = captured().await;
    let blocks = blocks(&file);
    assert_eq!(blocks.iter().map(|(kind, _)| *kind).take(3).collect::<Vec<_>>(), [0x0A0D_0D0A, 1, 6]);
    let packets: Vec<&[u8]> = blocks[2..].iter().map(|(_, body)| &body[20..]).collect();
    let mut sent = Vec::new();
    for (packet, (_, body)) in packets.iter().zip(&blocks[2..]) {
        let size = u32::from_le_bytes(body[12..16].try_into().expect("4 bytes")) as usize;
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), size);
        if packet[22..24] == 9092_u16.to_be_bytes() {
            sent.extend_from_slice(&packet[40..size]);
        }
    }
    let frames = broker.journal().entries().into_iter().map(|entry| entry.request_bytes());
    let expected = frames.map(|frame| [&(frame.len() as u32).to_be_bytes()[..], &frame].concat());
    assert_eq!(sent, expected.collect::<Vec<_>>().concat());
    let told = file.windows(b"answer lost".len()).filter(|window| window == b"answer lost").count();
    assert_eq!(told, 2, "on the request, and on the end of the connection");
}

#[tokio::test]
async fn tshark_reads_requests_and_answers() {
    // Debian's package tshark, which `tests/foreign/run install` installs; `just wireshark` insists on it.
    let (broker, file) = captured().await;
    let folder = std::env::temp_dir().join(format!("mockbroker-capture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("story.pcapng");
    std::fs::write(&path, file).expect("written");
    let fields = ["kafka.api_key", "kafka.api_version", "kafka.correlation_id", "tcp.checksum.status", "_ws.malformed"];
    let mut tshark = std::process::Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-Y", "kafka", "-T", "fields", "-E", "separator=,"]);
    tshark.args(["-o", "tcp.check_checksum:TRUE"]).args(fields.iter().flat_map(|field| ["-e", field]));
    let said = tshark.output();
    std::fs::remove_dir_all(&folder).expect("removed");
    let said = match said {
        Ok(said) => said,
        Err(error) if std::env::var_os("TSHARK").is_some() => panic!("tshark does not run: {error}"),
        Err(_) => return println!("tshark is not installed"),
    };
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8_lossy(&said.stdout);
    let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split(',').collect()).collect();
    // Only requests say their version; answers are told by their correlation ids.
    let (requests, answers): (Vec<_>, Vec<_>) = rows.iter().partition(|row| !row[1].is_empty());
    let entries = broker.journal().entries();
    let expected = entries.iter().map(|it| [it.api_key().into(), it.version().into(), it.correlation_id()]);
    let number = |text: &str| text.parse::<i32>().unwrap_or_else(|_| panic!("{text:?} in\n{said}"));
    let found = requests.iter().map(|row| [number(row[0]), number(row[1]), number(row[2])]);
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<[i32; 3]>>(), "{said}");
    let answered = entries.iter().filter(|it| it.answer().is_some()).map(mockbroker::Entry::correlation_id);
    assert_eq!(answers.iter().map(|row| number(row[2])).collect::<Vec<_>>(), answered.collect::<Vec<_>>(), "{said}");
    assert!(rows.iter().all(|row| row[3] == "1" && row[4].is_empty()), "checksums are good, nothing is odd: {said}");
}
