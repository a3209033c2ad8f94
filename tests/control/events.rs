//! The stream of events, and what neither it nor the journal can tell any longer.

use std::collections::VecDeque;

use async_kafka::{Kafka, Record};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use system_tests::api::PRODUCE;
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;
use tokio::time::timeout;

use super::client::{Control, LIMIT, start};

/// A stream that is read.
struct Stream {
    body: Incoming,
    text: String,
    ready: VecDeque<Event>,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: Option<u64>,
    data: Value,
}

impl Stream {
    async fn open(control: &Control, path: &str, last_event_id: Option<u64>) -> Self {
        let mut request = control.request("GET", path, None);
        if let Some(id) = last_event_id {
            request.headers_mut().insert("last-event-id", id.into());
        }
        let response = control.send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let frame = timeout(LIMIT, self.body.frame()).await.expect("in time")?.expect("it is whole");
            self.text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8"));
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                self.ready.extend(Event::of(event));
                self.text = rest.to_owned();
            }
        }
    }

    /// The first event that `is_it`, after others of any kind.
    async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if is_it(&event) {
                return event;
            }
        }
    }
}

impl Event {
    fn of(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let kind = field("event")?.to_owned();
        let data = serde_json::from_str(field("data")?).expect("JSON");
        Some(Self { kind, id: field("id").map(|id| id.parse().expect("a number")), data })
    }

    /// Of a request.
    fn number(&self) -> Option<u64> {
        self.data["number"].as_u64()
    }

    fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.data["name"] == name
    }
}

async fn write(bootstrap_servers: &str) {
    let kafka = Kafka::builder(bootstrap_servers).client_id("app").connect().await.expect("it serves");
    let producer = kafka.producer().build().await.expect("valid settings");
    producer.send(Record::to("orders").value("x")).await.expect("taken").await.expect("acknowledged");
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let mut stream = Stream::open(control, &format!("{cluster}/events"), None).await;
    write(&bootstrap_servers).await;
    let opened = stream.until(|event| event.kind == "connection").await;
    assert!(opened.data["state"]["closed_ms"].is_null() && opened.id.is_none(), "{opened:?}");
    let topic = stream.until(|event| event.is("topic", "orders")).await;
    assert_eq!(topic.data["state"]["partitions"][0]["log_end_offset"], 1);
    control.post(&format!("{cluster}/nodes/0/crash"), json!({})).await;
    let node = stream.until(|event| event.is("node", "0")).await;
    assert_eq!(node.data["state"]["is_up"], false);
    control.delete(&cluster).await;
    stream.until(|event| event.kind == "end").await;
    assert!(stream.next().await.is_none(), "nothing comes after the end");
}

#[tokio::test]
async fn requests_are_told_in_their_order_and_again_from_where_a_reader_was() {
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let path = format!("{cluster}/events?kinds=request");
    let mut stream = Stream::open(control, &path, None).await;
    let gate = json!({ "scope": { "api": "Produce" }, "when": "after_apply" });
    let gate = format!("{cluster}/gates/{}", control.post(&format!("{cluster}/gates"), gate).await["id"]);
    let release = async {
        // A request that waits is told, and told again when it is answered: also to a reader who was away meanwhile.
        let waits = stream.until(|event| event.data["api"] == "Produce").await;
        assert_eq!((waits.data["decision"].as_str(), waits.id), (Some("waits"), waits.number()));
        control.delete(&gate).await;
        let answered = stream.until(|event| event.data["api"] == "Produce").await;
        assert_eq!((answered.data["decision"].as_str(), answered.number()), (Some("answered"), waits.number()));
        assert!(answered.id > waits.id, "what comes next is of others: {answered:?}");
        let mut back = Stream::open(control, &format!("{path}&since=0"), waits.id).await;
        let told = back.next().await.expect("it is kept");
        assert_eq!((told.data["decision"].as_str(), told.number()), (Some("answered"), waits.number()));
        answered.number().expect("the number of the request")
    };
    let ((), number) = tokio::join!(write(&bootstrap_servers), release);
    let mut all = Stream::open(control, &format!("{path}&since=0"), None).await;
    for wanted in 0..=number {
        let event = all.next().await.expect("it is kept");
        assert_eq!((event.kind.as_str(), event.number()), ("request", Some(wanted)), "in its order, none left out");
    }
    let mut rest = Stream::open(control, &format!("{path}&since=0"), Some(number)).await;
    assert_eq!(rest.next().await.expect("it is kept").number(), Some(number));
    control.ask("GET", &format!("{cluster}/events?kinds=request,nonsense"), None).await.refused(400, "bad-request");
}

#[tokio::test]
async fn what_the_journal_has_forgotten_is_told_by_its_number() {
    const SENT: u64 = 20;
    let program = start();
    let control = &program.control;
    let (cluster, bootstrap_servers) = control.orders().await;
    let mut connection = Raw::connect(&bootstrap_servers).await;
    // More than 16 MiB of them.
    let records = Batch::of([vec![b'x'; 900_000]]).encode();
    for _ in 0..SENT {
        let data = value!([{ name: "orders", partition_data: [{ index: 0, records: records.clone() }] }]);
        connection.call(PRODUCE, 9, value!({ acks: -1, timeout_ms: 1000, topic_data: data })).await;
    }
    let journal = format!("{cluster}/journal");
    let refused = control.ask("GET", &journal, None).await.refused(409, "forgotten");
    let oldest = refused["oldest"].as_u64().expect("a number");
    assert!((1..SENT).contains(&oldest), "{refused}");
    for path in ["count", "text", "pcapng"] {
        let refused = control.ask("GET", &format!("{journal}/{path}?since=0"), None).await.refused(409, "forgotten");
        assert_eq!(refused["oldest"], oldest);
    }
    let wait = control.ask("POST", &format!("{journal}/wait"), Some(json!({ "count": SENT }))).await;
    assert_eq!(wait.refused(409, "forgotten")["oldest"], oldest, "at once, not in ten seconds");
    assert_eq!(control.get(&format!("{journal}/count?since={oldest}")).await["count"], SENT - oldest);
    let mut stream = Stream::open(control, &format!("{cluster}/events?kinds=request&since=0"), None).await;
    let told = stream.next().await.expect("it is told");
    assert_eq!((told.kind.as_str(), told.data), ("forgotten", json!({ "from": 0, "to": oldest - 1 })));
    assert_eq!(stream.next().await.expect("it is kept").number(), Some(oldest));
}
