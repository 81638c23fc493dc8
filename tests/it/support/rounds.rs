//! How long the long tests are, and the seeds of the generated ones.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// `ordinary` times what `UPISTREAM_ROUNDS` says.
pub fn of(ordinary: u32) -> u32 {
    let times = number("UPISTREAM_ROUNDS").unwrap_or(1);
    ordinary.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
}

/// What `UPISTREAM_SEED` says; otherwise another one each time. Whoever uses it prints it.
pub fn seed() -> u64 {
    number("UPISTREAM_SEED").unwrap_or_else(rand::random)
}

pub fn dice(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
