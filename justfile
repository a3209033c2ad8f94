# Every check, each a plain command that can be typed without `just`. `.ci/run` runs the ones of `ci`, in that order, on
# a new machine; `tests/tidy` holds the two to each other.

# What to run before a commit.
pre-commit: fmt-check lint unit tidy

# What CI runs.
ci: test fmt-check lint features doc hostile-million history planted-bugs fidelity-kafka group-version-kafka leaders-kafka crash-kafka security-kafka capture stores exactly-once-kafka wireshark foreign rebalance transactions streams languages tools evidence suites

# The README's command: everything that needs no other program.
test:
    cargo test --workspace

fmt-check:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# The crates without what is optional in them.
features:
    cargo clippy -p async-kafka -p mockbroker --no-default-features -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The rules of the core, without a socket.
unit:
    cargo test --workspace --lib

# The mock's answers over a raw connection.
fidelity:
    cargo test -p system-tests --test fidelity

# The same tests, asked of a real Kafka (java >= 17 and mvn).
fidelity-kafka:
    tests/real-kafka/real-kafka exec -- cargo test --no-fail-fast -p system-tests --test fidelity --test hostile

# The same of a Kafka whose finalized features leave consumer groups (KIP-848) out.
group-version-kafka:
    tests/real-kafka/real-kafka exec --property feature.group.version=0 -- cargo test -p system-tests --test fidelity group_version

# The feature transaction.version changed on a real Kafka, which nobody else may be asking meanwhile.
transaction-version-kafka:
    ALONE=1 tests/real-kafka/real-kafka exec -- cargo test -p system-tests --test fidelity transaction_version -- --test-threads 1

# What a real Kafka and the mock answer to the same requests, field by field: one node, then three.
differential:
    tests/real-kafka/real-kafka exec -- cargo test -p system-tests --test differential -- --nocapture
    tests/real-kafka/real-kafka exec --brokers 3 -- cargo test -p system-tests --test differential -- --nocapture

# The same against what a real Kafka answered before.
wire:
    cargo test -p system-tests --test wire

# Writes what is generated from tables anew: that of the handlers, two of docs/COMPATIBILITY.md, client/PROPERTIES.md,
# docs/openapi.json.
tables:
    INSTA_UPDATE=always cargo test -p mockbroker advertised
    INSTA_UPDATE=always cargo test -p async-kafka --lib properties
    INSTA_UPDATE=always cargo test -p mockbroker --lib openapi

# Writes down what a real Kafka answers now, in fixtures/wire. ONLY=groups takes only the programs whose names begin so.
capture:
    CAPTURE="Apache Kafka 4.3.1, $(date -u +%F), just capture" tests/real-kafka/real-kafka exec -- cargo test -p system-tests --test differential -- --nocapture
    CAPTURE="Apache Kafka 4.3.1, $(date -u +%F), just capture" tests/real-kafka/real-kafka exec --brokers 3 -- cargo test -p system-tests --test differential -- --nocapture

# A cluster of three nodes, asked of three real ones.
leaders-kafka:
    tests/real-kafka/real-kafka exec --brokers 3 -- cargo test -p system-tests --test leaders

# One of three real nodes is killed.
crash-kafka:
    tests/real-kafka/real-kafka exec --brokers 3 --property broker.session.timeout.ms=3000 -- env KAFKA_MAY_CRASH=1 cargo test -p system-tests --test leaders crash::

# A real leader that is cut off from the others, in time: nodes are stopped, and go on.
isolated-kafka:
    tests/real-kafka/real-kafka exec --brokers 3 --property broker.session.timeout.ms=3000 -- env KAFKA_MAY_CRASH=1 cargo test -p system-tests --test leaders isolated::

# TLS and logins of the client, against a real Kafka with a listener for each.
security-kafka:
    tests/real-kafka/real-kafka exec --user app:app-secret --property connections.max.reauth.ms=1500 --property authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer --property super.users=User:ANONYMOUS --property allow.everyone.if.no.acl.found=true --listener SASL:SASL_PLAINTEXT --listener TLS:SSL --listener SASL_TLS:SASL_SSL --listener MUTUAL:SSL:broker:required --listener WRONG_NAME:SSL:broker_wrong_name --listener EXPIRED:SSL:broker_expired -- cargo test -p system-tests --test security

# Client and mock together.
system:
    cargo test -p system-tests --test system

# A long run of produce and group consume while connections break and members come and go (about ten minutes).
unrest-long:
    UNREST_RECORDS=400000 cargo test --profile quick -p system-tests --test system unrest

# Ten minutes of produce and group consume while nodes crash and come back at random.
soak:
    SOAK_SECONDS=600 cargo test --profile quick -p system-tests --test system soak -- --nocapture

# In memory and in virtual time: a thousand histories of random workers and accidents, a hundred legal adversaries twice.
history:
    HISTORY_SEEDS=1000 UNHELPFUL_SEEDS=100 cargo test --profile quick -p system-tests --test sim

# A hundred thousand. HISTORY_SEED begins elsewhere.
history-long:
    HISTORY_SEEDS=100000 cargo test --profile quick -p system-tests --test sim every_history -- --nocapture

# The six planted bugs: each is found within a thousand seeds.
planted-bugs:
    tests/sim/planted/run

# Random workers that are killed, on a real Kafka, where the accidents are those of the lines.
history-kafka:
    tests/real-kafka/real-kafka exec -- env HISTORY_SEEDS=20 cargo test -p system-tests --test system history

# Offsets in the program's own database: SQLite, and a PostgreSQL of its own (Debian's package `postgresql`).
stores:
    tests/stores/run

# The exactly-once examples with workers that are killed, read by Java's console consumer and the databases' own programs.
exactly-once:
    tests/stores/run -- tests/exactly-once/run

# The same on a real Kafka.
exactly-once-kafka:
    tests/real-kafka/real-kafka exec -- tests/stores/run -- tests/exactly-once/run

# The control address, over HTTP.
control:
    cargo test -p system-tests --test control

# What a stranger can send.
hostile:
    cargo test -p system-tests --test hostile

# The same with a million frames at a running broker.
hostile-million:
    HOSTILE_FRAMES=1000000 cargo test --profile quick -p system-tests --test hostile

# The same with more of everything, for as long as it takes. HOSTILE_SEED makes it another run.
hostile-long:
    HOSTILE_FRAMES=20000000 HOSTILE_BODIES=20000 cargo test --profile quick -p system-tests --test hostile

# The house rules that a test can check.
tidy:
    cargo test -p system-tests --test tidy

# The journal as a capture file, read by tshark (Debian's package, which tests/foreign installs).
wireshark:
    TSHARK=required cargo test -p system-tests --test system capture

# Clients that none of us wrote, against the mock. Installs them (tests/foreign/README.md).
foreign:
    tests/foreign/run all --mock

# Groups of those clients, whose members come, crash and go.
rebalance:
    tests/foreign/run rebalance --mock

# The same on a real Kafka.
rebalance-kafka:
    tests/foreign/run rebalance --real

# The fixtures for tests in other languages, each with that language's own Kafka client (tests/languages/README.md).
languages:
    tests/languages/run

# Exactly once with workers of those clients that are killed.
transactions:
    tests/foreign/run transactions --mock

# The same on a real Kafka.
transactions-kafka:
    tests/foreign/run transactions --real

# Kafka Streams, exactly once, with an instance that is killed.
streams:
    tests/foreign/run streams --mock --clients confluent

# The same on a real Kafka.
streams-kafka:
    tests/foreign/run streams --real --clients confluent

# The same clients against a real Kafka.
foreign-kafka:
    tests/foreign/run all --real

# Kafka's own command-line tools, on a real Kafka and on the mock (tests/tools/README.md).
tools:
    tests/tools/run

# The test suites of other clients, against the mock (tests/suites/README.md).
suites:
    tests/suites/run

# The same against a real Kafka.
suites-kafka:
    tests/suites/run --real

# What our client and our broker write, read by Java's consumer and by DumpLogSegments (tests/evidence/README.md).
evidence:
    tests/evidence/run check

# Remakes fixtures/wire/batches from a real Kafka.
capture-batches:
    tests/evidence/run capture

# A real Kafka on port 9092, until Ctrl-C.
kafka:
    tests/real-kafka/real-kafka serve --port 9092

# The figures, as ratios in one run.
bench:
    cargo run --release --manifest-path tests/bench/Cargo.toml

# What a request costs a broker with and without its journal (callgrind; Debian's package valgrind), a warm start, and what a
# record costs the client.
cost:
    tests/cost/run
