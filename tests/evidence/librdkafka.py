"""librdkafka as a witness, through confluent-kafka: `librdkafka.py BOOTSTRAP TOPIC...` fills topics that are there.

The last word of a topic's name is the codec, if it is one; `idempotent` does as it says. One batch a topic."""
import sys

from confluent_kafka import Producer

CODECS = ("gzip", "snappy", "lz4", "zstd")
TIME = 1_700_000_000_000
SAMPLE = [
    ("key", "value", [("a", b"1"), ("b", None), ("a", b"2"), ("\u00fc", b"")]),
    (None, None, []),
    ("", "", []),
    ("binary", "kafka " * 50, [("bytes", bytes([0, 1, 127, 128, 255]))]),
]


def main() -> None:
    bootstrap, *topics = sys.argv[1:]
    for topic in topics:
        word = topic.rsplit("-", 1)[-1]
        producer = Producer({
            "bootstrap.servers": bootstrap,
            "compression.type": word if word in CODECS else "none",
            "enable.idempotence": "idempotent" in topic,
            # What is there when the flush begins is one batch.
            "linger.ms": 1000,
        })
        failures = []
        for delta, (key, value, headers) in enumerate(SAMPLE):
            producer.produce(topic, value, key, partition=0, headers=headers, timestamp=TIME + delta,
                             on_delivery=lambda error, _message: error and failures.append(error))
        if producer.flush(30) or failures:
            sys.exit(f"{topic}: not delivered: {failures}")


if __name__ == "__main__":
    main()
