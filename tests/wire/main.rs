//! What a real Kafka answered, as files: read, written again, and given by the mock. Needs nothing but this repository.
