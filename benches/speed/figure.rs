//! What was measured, and how it is shown.

use serde_json::{Value, json};

use super::Failed;

/// The median of some runs, and the ends.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub runs: usize,
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(runs: &[f64]) -> Self {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        let end = |end: Option<&f64>| end.copied().unwrap_or(f64::NAN);
        Self { runs: runs.len(), median, min: end(sorted.first()), max: end(sorted.last()) }
    }

    fn json(self) -> Value {
        let Self { runs, median, min, max } = self;
        json!({ "runs": runs, "median": median, "min": min, "max": max })
    }
}

/// What a figure should come to.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self, value: f64) -> String {
        let verdict = if self.is_reached(value) { "reached" } else { "NOT reached" };
        match self {
            Self::AtLeast(least) => format!(", at least {least} wanted: {verdict}"),
            Self::AtMost(most) => format!(", at most {most} wanted: {verdict}"),
        }
    }

    /// What is least and what is most.
    fn ends(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::AtLeast(least) => (Some(least), None),
            Self::AtMost(most) => (None, Some(most)),
        }
    }
}

/// A figure.
pub enum Figure {
    /// Ours over the floor's, run by run.
    Ratio { case: String, floor: String, unit: &'static str, wanted: Wanted, ours: Spread, floors: Spread, ratio: Spread },
    /// What has no floor.
    Amount { case: String, unit: &'static str, wanted: Wanted, amount: Spread },
}

impl Figure {
    /// That of runs that alternated: the n-th of ours came right before or after the floor's n-th.
    pub fn ratio(
        case: impl Into<String>,
        floor: impl Into<String>,
        unit: &'static str,
        wanted: Wanted,
        (ours, floors): &(Vec<f64>, Vec<f64>),
    ) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(floors).map(|(ours, floor)| ours / floor).collect();
        let (ours, floors, ratio) = (Spread::of(ours), Spread::of(floors), Spread::of(&ratios));
        Self::Ratio { case: case.into(), floor: floor.into(), unit, wanted, ours, floors, ratio }
    }

    pub fn amount(case: impl Into<String>, unit: &'static str, wanted: Wanted, amounts: &[f64]) -> Self {
        Self::Amount { case: case.into(), unit, wanted, amount: Spread::of(amounts) }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Ratio { case, floor, unit, wanted, ours, floors, ratio } => {
                let Spread { runs, median, min, max } = ratio;
                let wanted = wanted.text(*median);
                // Some count thousands, others are parts of a millisecond.
                let digits = if ours.median.max(floors.median) < 100.0 { 2 } else { 0 };
                let of = |Spread { median, min, max, .. }: &Spread, unit: &str| {
                    format!("{median:.digits$}{unit} ({min:.digits$} to {max:.digits$})")
                };
                let (ours, floors) = (of(ours, &format!(" {unit}")), of(floors, ""));
                format!("{case}\n  {median:.2} ({min:.2} to {max:.2}, {runs} runs) of {floor}{wanted}\n  ours {ours}, the floor's {floors}")
            }
            Self::Amount { case, unit, wanted, amount: Spread { median, min, max, .. } } => {
                format!("{case}\n  {median:.1} {unit} ({min:.1} to {max:.1}){}", wanted.text(*median))
            }
        }
    }

    pub fn json(&self) -> Value {
        let (wanted, Spread { median, .. }) = match self {
            Self::Ratio { wanted, ratio, .. } => (wanted, ratio),
            Self::Amount { wanted, amount, .. } => (wanted, amount),
        };
        let ((at_least, at_most), reached) = (wanted.ends(), wanted.is_reached(*median));
        match self {
            Self::Ratio { case, floor, unit, wanted: _, ours, floors, ratio } => json!({
                "case": case, "floor": floor, "unit": unit, "at_least": at_least, "at_most": at_most, "reached": reached,
                "ratio": ratio.json(), "ours": ours.json(), "floors": floors.json(),
            }),
            Self::Amount { case, unit, wanted: _, amount } => json!({
                "case": case, "unit": unit, "at_least": at_least, "at_most": at_most, "reached": reached, "amount": amount.json(),
            }),
        }
    }
}

/// Runs both in turn, `runs` times each after one that is not counted. Which of them begins alternates too, so that neither
/// always finds what the other left.
pub async fn alternate<T>(
    runs: usize,
    mut ours: impl AsyncFnMut() -> Result<T, Failed>,
    mut floor: impl AsyncFnMut() -> Result<T, Failed>,
) -> Result<(Vec<T>, Vec<T>), Failed> {
    floor().await?;
    ours().await?;
    let (mut of_ours, mut of_floor) = (Vec::new(), Vec::new());
    for run in 0..runs {
        if run % 2 == 0 {
            of_floor.push(floor().await?);
            of_ours.push(ours().await?);
        } else {
            of_ours.push(ours().await?);
            of_floor.push(floor().await?);
        }
    }
    Ok((of_ours, of_floor))
}
