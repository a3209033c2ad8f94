//! What is known of one config key: its type, default and validator, and Kafka's texts for a bad value.
//!
//! Parsing and validation follow `ConfigDef.parseType` and `ConfigDef.Validator`; the texts are those a real 4.3.1
//! answers. Not done: loading a class to see whether it exists, and the cross-checks of `KafkaConfig.validateValues`.

/// The type of a value, with the number DescribeConfigs gives it (`ConfigResponse.ConfigType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Type {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// What a value must be besides of its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Valid {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// As `Between`, for a DOUBLE.
    Ratio(f64, f64),
    OneOf(&'static [&'static str]),
    OneOfIgnoringCase(&'static [&'static str]),
    /// Each item of a LIST is one of these; the list may be empty, an item may not.
    ListOf(&'static [&'static str]),
    NonEmptyString,
    /// 1 to 9, or -1 (`GzipCompression.LevelValidator`).
    GzipLevel,
    /// `*`, or `partition:broker` pairs (`ThrottledReplicaListValidator`).
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` and an ISO 8601 duration (`ShareGroupAutoOffsetResetStrategy`).
    AutoOffsetReset,
    /// Kafka has a validator of this description, whose rule matters to no test double.
    Unchecked(&'static str),
}

/// Who may change a broker config while the broker runs (`DynamicBrokerConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadOnly,
    PerBroker,
    ClusterWide,
}

/// One config key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) value_type: Type,
    /// The default as text; `None` when it is null or the key is required.
    pub(crate) default: Option<&'static str>,
    pub(crate) valid: Valid,
    pub(crate) mode: Mode,
    /// Broker configs that decide this one, the strongest first; without any, a broker config stands for itself.
    pub(crate) synonyms: &'static [&'static str],
    /// Internal keys can be set, and are described only where they are set.
    pub(crate) internal: bool,
}

impl Key {
    /// A public key that can be changed cluster-wide.
    pub(super) const fn new(name: &'static str, value_type: Type, default: Option<&'static str>, valid: Valid) -> Self {
        Self { name, value_type, default, valid, mode: Mode::ClusterWide, synonyms: &[], internal: false }
    }

    pub(super) const fn read_only(mut self) -> Self {
        self.mode = Mode::ReadOnly;
        self
    }

    pub(super) const fn per_broker(mut self) -> Self {
        self.mode = Mode::PerBroker;
        self
    }

    pub(super) const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    pub(super) const fn synonyms(mut self, names: &'static [&'static str]) -> Self {
        self.synonyms = names;
        self
    }

    /// Whether values are never shown (`KafkaConfig.maybeSensitive`).
    pub(crate) fn is_sensitive(&self) -> bool {
        self.value_type == Type::Password
    }

    /// The value as Kafka prints it once parsed (`ConfigDef.convertToString`): trimmed, numbers in decimal, lists joined
    /// with a comma.
    ///
    /// # Errors
    /// Kafka's own text for what is wrong with `raw`.
    pub(crate) fn canonical(&self, raw: &str) -> Result<String, String> {
        let trimmed = raw.trim();
        match self.value_type {
            Type::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok("true".to_owned()),
            Type::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok("false".to_owned()),
            Type::Boolean => Err(self.invalid(raw, "Expected value to be either true or false")),
            Type::Int => self.integer(raw, trimmed.parse::<i32>().map(i64::from), "INT"),
            Type::Short => self.integer(raw, trimmed.parse::<i16>().map(i64::from), "SHORT"),
            Type::Long => self.integer(raw, trimmed.parse::<i64>(), "LONG"),
            Type::Double => {
                let Ok(number) = trimmed.parse::<f64>() else {
                    return Err(self.invalid(raw, "Not a number of type DOUBLE"));
                };
                let text = java_double(number);
                match self.valid {
                    Valid::Ratio(min, _) if number < min => {
                        Err(self.invalid(&text, &format!("Value must be at least {min}")))
                    }
                    Valid::Ratio(_, max) if number > max => {
                        Err(self.invalid(&text, &format!("Value must be no more than {max}")))
                    }
                    _ => Ok(text),
                }
            }
            Type::List => self.list(trimmed),
            Type::String | Type::Class => self.string(trimmed),
            Type::Password => Ok(raw.to_owned()),
        }
    }

    fn integer(&self, raw: &str, number: Result<i64, std::num::ParseIntError>, kind: &str) -> Result<String, String> {
        let Ok(number) = number else {
            return Err(self.invalid(raw, &format!("Not a number of type {kind}")));
        };
        let reason = match self.valid {
            Valid::AtLeast(min) | Valid::Between(min, _) if number < min => format!("Value must be at least {min}"),
            Valid::Between(_, max) if number > max => format!("Value must be no more than {max}"),
            Valid::GzipLevel if number != -1 && !(1..=9).contains(&number) => {
                "Value must be between 1 and 9 or equal to -1".to_owned()
            }
            _ => return Ok(number.to_string()),
        };
        Err(self.invalid(&number.to_string(), &reason))
    }

    fn list(&self, trimmed: &str) -> Result<String, String> {
        let items: Vec<&str> =
            if trimmed.is_empty() { Vec::new() } else { trimmed.split(',').map(str::trim).collect() };
        match self.valid {
            Valid::ListOf(_) if items.contains(&"") => {
                return Err(format!("Configuration '{}' values must not be empty.", self.name));
            }
            Valid::ListOf(allowed) => {
                if let Some(bad) = items.iter().find(|item| !allowed.contains(item)) {
                    return Err(self.invalid(bad, &format!("String must be one of: {}", allowed.join(", "))));
                }
            }
            Valid::ThrottledReplicas if !is_throttled_replicas(&items) => {
                let reason = format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                );
                return Err(self.invalid(&format!("[{}]", items.join(", ")), &reason));
            }
            _ => {}
        }
        Ok(items.join(","))
    }

    fn string(&self, trimmed: &str) -> Result<String, String> {
        let reason = match self.valid {
            Valid::OneOf(allowed) if !allowed.contains(&trimmed) => {
                format!("String must be one of: {}", allowed.join(", "))
            }
            Valid::OneOfIgnoringCase(allowed) if !allowed.iter().any(|one| one.eq_ignore_ascii_case(trimmed)) => {
                format!("String must be one of (case insensitive): {}", allowed.join(", "))
            }
            Valid::NonEmptyString if trimmed.is_empty() => "String must be non-empty".to_owned(),
            Valid::AutoOffsetReset if !is_auto_offset_reset(trimmed) => format!(
                "Invalid value `{trimmed}` for configuration {}. The value must be either 'earliest', 'latest' or of \
                 the format 'by_duration:<PnDTnHnMn.nS>'.",
                self.name
            ),
            _ => return Ok(trimmed.to_owned()),
        };
        Err(self.invalid(trimmed, &reason))
    }

    fn invalid(&self, value: &str, reason: &str) -> String {
        format!("Invalid value {value} for configuration {}: {reason}", self.name)
    }
}

/// As `Double.toString` prints it: decimal from 10^-3 to 10^7, otherwise with an exponent, always with a fraction.
fn java_double(number: f64) -> String {
    if number == 0.0 || !number.is_finite() || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

fn is_throttled_replicas(items: &[&str]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // An item may be empty, so that nothing can be appended to the list. Seen on 4.3.1.
    let is_replica = |item: &str| item.split_once(':').is_some_and(|(part, node)| is_number(part) && is_number(node));
    items == ["*"] || items.iter().all(|item| item.is_empty() || is_replica(item))
}

/// ISO 8601 durations as `java.time.Duration.parse` takes them, without signs: `PnDTnHnMn.nS`.
fn is_auto_offset_reset(text: &str) -> bool {
    if text == "earliest" || text == "latest" {
        return true;
    }
    let Some(duration) = text.strip_prefix("by_duration:").map(str::to_ascii_uppercase) else { return false };
    let Some(rest) = duration.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let mut units = days.strip_suffix('D').into_iter().collect::<Vec<_>>();
    let mut left = if units.is_empty() { days } else { "" };
    if let Some(time) = time {
        if !left.is_empty() || time.is_empty() {
            return false;
        }
        left = time;
        for unit in ['H', 'M', 'S'] {
            if let Some((number, rest)) = left.split_once(unit) {
                units.push(number);
                left = rest;
            }
        }
    }
    // A sign would make it negative or redundant, and Kafka takes no negative duration.
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_number = |number: &&str| is_digits(number) && number.parse::<f64>().is_ok();
    left.is_empty() && !units.is_empty() && units.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::configs::tables::{
        BROKER_KEYS, CLIENT_METRICS_KEYS, DYNAMIC_ONLY_KEYS, GROUP_KEYS, TOPIC_KEYS,
    };

    fn description(valid: Valid) -> String {
        match valid {
            Valid::Any => String::new(),
            Valid::AtLeast(min) => format!("[{min},...]"),
            Valid::Between(min, max) => format!("[{min},...,{max}]"),
            Valid::Ratio(min, max) => format!("[{min},...,{max}]"),
            Valid::OneOf(values) | Valid::ListOf(values) => format!("[{}]", values.join(", ")),
            Valid::OneOfIgnoringCase(values) => format!("(case insensitive) [{}]", values.join(", ")),
            Valid::NonEmptyString => "non-empty string".to_owned(),
            Valid::GzipLevel => "[1,...,9] or -1".to_owned(),
            Valid::ThrottledReplicas => "[partitionId]:[brokerId],[partitionId]:[brokerId],...".to_owned(),
            Valid::AutoOffsetReset => "[latest, earliest, by_duration:PnDTnHnMn.nS]".to_owned(),
            Valid::Unchecked(text) => text.to_owned(),
        }
    }

    fn rows(kind: &str, keys: &[Key]) -> Vec<String> {
        let row = |key: &Key| {
            let mode = match key.mode {
                _ if kind != "broker" => "dynamic",
                Mode::ReadOnly => "read-only",
                Mode::PerBroker => "per-broker",
                Mode::ClusterWide => "cluster-wide",
            };
            let required = ["node.id", "process.roles", "controller.listener.names"].contains(&key.name);
            [
                kind,
                key.name,
                &format!("{:?}", key.value_type).to_uppercase(),
                key.default.unwrap_or(if required { "<required>" } else { "<null>" }),
                mode,
                &key.synonyms.join(","),
                if key.internal { "internal" } else { "public" },
                &description(key.valid),
            ]
            .join("\t")
        };
        keys.iter().map(row).collect()
    }

    #[test]
    fn the_tables_are_what_kafka_prints_of_its_own_config_definitions() {
        // Source: fixtures/kafka/configs.txt, printed by Kafka 4.3.1.
        let kafka = include_str!("../../../../fixtures/kafka/configs.txt");
        let kafka: Vec<&str> = kafka.lines().filter(|line| !line.starts_with('#')).collect();
        let ours = [
            rows("broker", BROKER_KEYS),
            rows("topic", TOPIC_KEYS),
            rows("group", GROUP_KEYS),
            rows("client-metrics", CLIENT_METRICS_KEYS),
            rows("broker-quota", DYNAMIC_ONLY_KEYS),
        ]
        .concat();
        for (kafka, ours) in kafka.iter().zip(&ours) {
            assert_eq!(ours, kafka);
        }
        assert_eq!(ours.len(), kafka.len());
    }

    #[test]
    fn the_tables_are_sorted_and_every_default_is_valid() {
        for table in [BROKER_KEYS, TOPIC_KEYS, GROUP_KEYS, CLIENT_METRICS_KEYS, DYNAMIC_ONLY_KEYS] {
            assert!(table.is_sorted_by(|a, b| a.name < b.name));
            for key in table {
                let default = key.default.map(|value| key.canonical(value));
                assert!(
                    default.as_ref().is_none_or(|value| value.as_deref() == Ok(key.default.unwrap_or(""))),
                    "{key:?}"
                );
            }
        }
    }

    #[test]
    fn a_double_is_printed_as_java_prints_it() {
        // Source: Double.toString.
        for (number, text) in
            [(1.0, "1.0"), (0.5, "0.5"), (0.001, "0.001"), (1e-5, "1.0E-5"), (12_345_678.0, "1.2345678E7")]
        {
            assert_eq!(java_double(number), text);
        }
        assert_eq!(java_double(f64::MAX), "1.7976931348623157E308");
    }

    #[test]
    fn a_duration_is_days_and_a_time() {
        // Source: ShareGroupAutoOffsetResetStrategy, java.time.Duration.parse.
        for good in ["earliest", "latest", "by_duration:PT1H", "by_duration:P2DT3H4M5.5S", "by_duration:P1D"] {
            assert!(is_auto_offset_reset(good), "{good}");
        }
        for bad in [
            "",
            "none",
            "by_duration:",
            "by_duration:x",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:P1H",
            "by_duration:PT-1H",
        ] {
            assert!(!is_auto_offset_reset(bad), "{bad}");
        }
    }
}
