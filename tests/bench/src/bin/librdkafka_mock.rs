//! librdkafka's own mock cluster as a process: the peer of the produce and consume figures.
//!
//! `librdkafka-mock PARTITIONS` creates one node and the topic `bench`, prints `READY host:port` and serves until its
//! standard input ends. The mock keeps at most 5 MiB per partition and checks no CRC (rdkafka_mock.c).

use rdkafka::mocking::MockCluster;

fn main() {
    let partitions = std::env::args().nth(1).map_or(1, |text| text.parse().expect("PARTITIONS is a number"));
    let cluster = MockCluster::new(1).expect("librdkafka's mock cluster starts");
    cluster.create_topic("bench", partitions, 1).expect("the mock creates the topic");
    println!("READY {}", cluster.bootstrap_servers());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("standard input is readable");
}
