//! What was measured, and how it is shown.

use serde_json::{Value, json};

use super::Failed;

/// The median of some runs, and the ends.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
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
        Self { median, min: end(sorted.first()), max: end(sorted.last()) }
    }

    fn json(self) -> Value {
        let Self { median, min, max } = self;
        json!({ "median": median, "min": min, "max": max })
    }
}

/// A figure.
pub enum Figure {
    /// Ours over the floor's, run by run.
    Ratio {
        case: &'static str,
        floor: &'static str,
        unit: &'static str,
        at_least: Option<f64>,
        ours: Spread,
        floors: Spread,
        ratio: Spread,
    },
    /// What has no floor.
    Amount { case: &'static str, unit: &'static str, at_most: f64, amount: Spread },
}

impl Figure {
    /// That of runs that alternated: the n-th of ours came right before or after the floor's n-th.
    pub fn ratio(
        case: &'static str,
        floor: &'static str,
        unit: &'static str,
        at_least: Option<f64>,
        (ours, floors): &(Vec<f64>, Vec<f64>),
    ) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(floors).map(|(ours, floor)| ours / floor).collect();
        Self::Ratio { case, floor, unit, at_least, ours: Spread::of(ours), floors: Spread::of(floors), ratio: Spread::of(&ratios) }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Ratio { case, floor, unit, at_least, ours, floors, ratio } => {
                let Spread { median, min, max } = ratio;
                let wanted = at_least.map_or_else(String::new, |least| format!(", {least:.2} wanted: {}", verdict(*median >= least)));
                let ours = format!("{:.0} {unit} ({:.0} to {:.0})", ours.median, ours.min, ours.max);
                let floors = format!("{:.0} ({:.0} to {:.0})", floors.median, floors.min, floors.max);
                format!("{case}\n  {median:.2} ({min:.2} to {max:.2}) of {floor}{wanted}\n  ours {ours}, the floor's {floors}")
            }
            Self::Amount { case, unit, at_most, amount: Spread { median, min, max } } => {
                let verdict = verdict(median <= at_most);
                format!("{case}\n  {median:.1} {unit} ({min:.1} to {max:.1}), at most {at_most:.0} wanted: {verdict}")
            }
        }
    }

    pub fn json(&self) -> Value {
        match self {
            Self::Ratio { case, floor, unit, at_least, ours, floors, ratio } => json!({
                "case": case, "floor": floor, "unit": unit, "at_least": at_least,
                "reached": at_least.map(|least| ratio.median >= least),
                "ratio": ratio.json(), "ours": ours.json(), "floors": floors.json(),
            }),
            Self::Amount { case, unit, at_most, amount } => json!({
                "case": case, "unit": unit, "at_most": at_most, "reached": amount.median <= *at_most, "amount": amount.json(),
            }),
        }
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "NOT reached" }
}

/// Runs both in turn, `runs` times each after one that is not counted. Which of them begins alternates too, so that neither
/// always finds what the other left.
pub async fn alternate(
    runs: usize,
    mut ours: impl AsyncFnMut() -> Result<f64, Failed>,
    mut floor: impl AsyncFnMut() -> Result<f64, Failed>,
) -> Result<(Vec<f64>, Vec<f64>), Failed> {
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
