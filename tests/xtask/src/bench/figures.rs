//! Means, and processor time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// A mean and how far the rounds lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The rounds' mean.
    pub mean: f64,
    /// The difference between the largest and the smallest, as a part of the mean.
    pub spread: f64,
}

impl Figure {
    /// Of at least one round.
    pub fn of<R>(rounds: &[R], value: impl Fn(&R) -> f64) -> Self {
        let values: Vec<f64> = rounds.iter().map(value).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let largest = values.iter().copied().fold(f64::MIN, f64::max);
        let smallest = values.iter().copied().fold(f64::MAX, f64::min);
        Self {
            mean,
            spread: if mean == 0.0 {
                0.0
            } else {
                (largest - smallest) / mean.abs()
            },
        }
    }
}

/// Processor time that was spent in a stretch of time: "window=NS NAME=NS …".
#[derive(Clone, Debug)]
pub struct Meter {
    window: f64,
    domains: BTreeMap<String, f64>,
}

impl Meter {
    /// Reads what `measure.py` said.
    pub fn read(text: &str) -> Result<Self> {
        let mut domains = BTreeMap::new();
        for word in text.split_whitespace() {
            let (name, ns) = word
                .split_once('=')
                .with_context(|| format!("not NAME=NS: {word}"))?;
            domains.insert(name.to_owned(), ns.parse().with_context(|| word.to_owned())?);
        }
        let window = domains.remove("window").context("without a window")?;
        Ok(Self { window, domains })
    }

    /// The part of the processor that a domain took.
    pub fn share(&self, domain: &str) -> Result<f64> {
        let ns = self
            .domains
            .get(domain)
            .with_context(|| format!("no domain {domain}"))?;
        Ok(ns / self.window)
    }

    /// The part that all of them took.
    pub fn busy(&self) -> f64 {
        self.domains.values().sum::<f64>() / self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_relative() {
        let figure = Figure::of(&[90.0, 110.0], |value| *value);
        assert_eq!(
            figure,
            Figure {
                mean: 100.0,
                spread: 0.2
            }
        );
    }

    #[test]
    fn processor_time_is_a_part_of_the_window() {
        let meter = Meter::read("window=2000 Domain-0=500 block=1000").unwrap();
        assert!((meter.share("block").unwrap() - 0.5).abs() < 1e-9);
        assert!((meter.busy() - 0.75).abs() < 1e-9);
        assert!(meter.share("net").is_err());
        assert!(Meter::read("Domain-0=500").is_err());
        assert!(Meter::read("window=2000 Domain-0").is_err());
    }
}
