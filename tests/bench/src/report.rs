//! The table that a run prints, and the JSON that it writes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::statistics::Estimate;

/// Whether a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Pass,
    /// It is not.
    Miss,
    /// The interval holds the bar, or the A/A control is as far off: this run cannot say.
    Open,
    /// Told for the reader; nothing is promised.
    Info,
}

impl Verdict {
    /// `Pass` if the value is at most the bar.
    pub fn at_most(value: f64, bar: f64) -> Self {
        if value <= bar { Self::Pass } else { Self::Miss }
    }

    /// `Pass` if the value is at least the bar.
    pub fn at_least(value: f64, bar: f64) -> Self {
        if value >= bar { Self::Pass } else { Self::Miss }
    }

    /// Of a ratio that is to be at most `bar`. A miss needs an interval that lies above the bar and a median that lies
    /// outside what the broker against itself gives.
    pub fn ratio_at_most(ratio: Estimate, bar: f64, control: Estimate) -> Self {
        if ratio.median <= bar {
            Self::Pass
        } else if ratio.low > bar && ratio.median > control.high {
            Self::Miss
        } else {
            Self::Open
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Miss => "MISS",
            Self::Open => "open",
            Self::Info => "",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// Which figure: `cycles`, `produce`, ...
    pub figure: &'static str,
    /// What was measured.
    pub what: String,
    /// The number, with its unit.
    pub measured: String,
    /// The peer's number of the same run.
    pub peer: String,
    /// Ours through the peer's, with its interval.
    pub ratio: String,
    /// What is promised.
    pub bar: String,
    /// Whether it is kept.
    pub verdict: Verdict,
    /// Everything behind the row, for the JSON.
    pub detail: Value,
}

impl Row {
    /// A row that promises nothing and has no peer.
    pub fn info(figure: &'static str, what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            figure,
            what: what.into(),
            measured: measured.into(),
            peer: String::new(),
            ratio: String::new(),
            bar: String::new(),
            verdict: Verdict::Info,
            detail: Value::Null,
        }
    }

    /// With what is promised, and whether it is kept.
    pub fn judged(self, bar: impl Into<String>, verdict: Verdict) -> Self {
        Self { bar: bar.into(), verdict, ..self }
    }

    /// With the peer's number and the ratio to it.
    pub fn against(self, peer: impl Into<String>, ratio: impl Into<String>) -> Self {
        Self { peer: peer.into(), ratio: ratio.into(), ..self }
    }

    /// With what lies behind it.
    pub fn detail(self, detail: Value) -> Self {
        Self { detail, ..self }
    }

    fn json(&self) -> Value {
        json!({
            "figure": self.figure, "what": self.what, "measured": self.measured, "peer": self.peer,
            "ratio": self.ratio, "bar": self.bar, "verdict": self.verdict.text(), "detail": self.detail,
        })
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:.2} ({:.2}-{:.2})", self.median, self.low, self.high)
    }
}

/// The rows as a table, columns as wide as they need to be.
pub fn table(rows: &[Row]) -> String {
    let head = ["figure", "what", "measured", "peer", "ratio (95 %)", "bar", "verdict"].map(String::from);
    let lines: Vec<[String; 7]> = std::iter::once(head)
        .chain(rows.iter().map(|row| {
            [row.figure, &row.what, &row.measured, &row.peer, &row.ratio, &row.bar, row.verdict.text()]
                .map(String::from)
        }))
        .collect();
    let widths: Vec<usize> =
        (0..7).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Writes `FIGURE.json` for each figure among the rows.
pub fn write_json(directory: &Path, rows: &[Row], context: &Value) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut figures: Vec<&str> = rows.iter().map(|row| row.figure).collect();
    figures.dedup();
    for figure in figures {
        let rows: Vec<Value> = rows.iter().filter(|row| row.figure == figure).map(Row::json).collect();
        let text = serde_json::to_string_pretty(&json!({ "context": context, "rows": rows }))?;
        fs::write(directory.join(format!("{figure}.json")), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(median: f64, low: f64, high: f64) -> Estimate {
        Estimate { median, low, high }
    }

    #[test]
    fn a_ratio_misses_only_when_its_interval_and_the_control_both_say_so() {
        let quiet = estimate(1.0, 0.97, 1.03);
        let noisy = estimate(1.0, 0.7, 1.4);
        assert_eq!(Verdict::ratio_at_most(estimate(0.9, 0.8, 1.1), 1.0, quiet), Verdict::Pass);
        assert_eq!(Verdict::ratio_at_most(estimate(1.2, 1.1, 1.3), 1.0, quiet), Verdict::Miss);
        assert_eq!(Verdict::ratio_at_most(estimate(1.2, 0.9, 1.3), 1.0, quiet), Verdict::Open);
        assert_eq!(Verdict::ratio_at_most(estimate(1.2, 1.1, 1.3), 1.0, noisy), Verdict::Open);
    }
}
