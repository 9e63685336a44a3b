//! From what a run reported to figures.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::super::figures::{Figure, Meter};

/// What a job's figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP payload a second.
    Tcp,
    /// Packets of so many bytes of payload a second.
    Udp(u16),
    /// The shortest round trip.
    Ping,
}

/// One job that guests do.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Its name in the guests' script.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    /// What it gives.
    pub kind: Kind,
    /// Whether the other end is Dom0, on the wire.
    pub wire: bool,
}

/// What one round of a job gave.
#[derive(Clone, Debug)]
pub struct Round {
    /// What arrived, of all guests together: bytes or packets a second; or a round trip in µs.
    pub value: f64,
    /// Whose processor time it was.
    pub meter: Meter,
}

/// Everything one backend was measured at.
#[derive(Debug)]
pub struct Run {
    /// The rounds of each job.
    pub jobs: Vec<(Job, Vec<Round>)>,
    /// The domain that serves.
    pub backend: &'static str,
    /// The share of the processor that it takes when nothing is asked of it.
    pub idle_cost: f64,
    /// Other things that were said: versions, memory.
    pub values: BTreeMap<String, String>,
}

impl Run {
    /// Reads what was reported: for each JOB.ROUND its `/cpu`, and what each guest said.
    pub fn read(
        values: &BTreeMap<String, String>,
        backend: &'static str,
        jobs: &[Job],
        rounds: &[String],
    ) -> Result<Self> {
        let idle = rounds.first().context("no round")?;
        let idle = format!("idle.{idle}/cpu");
        let idle = values
            .get(&idle)
            .with_context(|| format!("{idle} was not reported"))?;
        let mut read = Vec::new();
        for job in jobs {
            let round = |round: &String| {
                let name = format!("{}.{round}", job.name);
                round_of(values, job.kind, &name).context(name)
            };
            read.push((*job, rounds.iter().map(round).collect::<Result<_>>()?));
        }
        let others = values.iter().filter(|(name, _)| !name.contains('/'));
        Ok(Self {
            jobs: read,
            backend,
            idle_cost: Meter::read(idle)?.share(backend)?,
            values: others
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }

    /// The rounds of the job `name`.
    pub fn rounds(&self, name: &str) -> Result<&[Round]> {
        let found = self.jobs.iter().find(|(job, _)| job.name == name);
        let (_, rounds) = found.with_context(|| format!("{name} was not measured"))?;
        Ok(rounds)
    }

    /// The processor time of Dom0 for one byte, or packet, of the job `name`: its peer's, if it does not serve. In s.
    pub fn peer_cost(&self, name: &str) -> f64 {
        let found = self.jobs.iter().find(|(job, _)| job.name == name && job.wire);
        found.map_or(0.0, |(_, rounds)| {
            Figure::of(rounds, |round| share(round, "Domain-0") / round.value).mean
        })
    }

    /// The backend's share of the processor in a round, if the peer costs `peer` a byte.
    pub fn backend_share(&self, round: &Round, peer: f64) -> f64 {
        let all = share(round, self.backend) - self.idle_cost;
        if self.backend == "Domain-0" {
            all - peer * round.value
        } else {
            all
        }
    }
}

fn share(round: &Round, domain: &str) -> f64 {
    round.meter.share(domain).unwrap_or_default()
}

fn round_of(values: &BTreeMap<String, String>, kind: Kind, name: &str) -> Result<Round> {
    let cpu = values
        .get(&format!("{name}/cpu"))
        .context("its processor time was not reported")?;
    let prefix = format!("{name}/guest");
    let mut sum = 0.0;
    for (who, said) in values.iter().filter(|(who, _)| who.starts_with(&prefix)) {
        let said: f64 = said.parse().with_context(|| format!("{who}: {said}"))?;
        sum += match kind {
            Kind::Tcp => said * 1000.0 / 8.0,
            Kind::Udp(payload) => said * 1000.0 / 8.0 / f64::from(payload),
            Kind::Ping => said * 1000.0,
        };
    }
    if sum <= 0.0 {
        bail!("no guest has reported");
    }
    Ok(Round {
        value: sum,
        meter: Meter::read(cpu)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Job = Job {
        name: "send",
        title: "",
        kind: Kind::Tcp,
        wire: true,
    };

    fn values(dom0: u32, net: u32) -> BTreeMap<String, String> {
        let said = [
            ("idle.1/cpu", "window=1000 Domain-0=10 net=0 guest1=5".to_owned()),
            (
                "send.1/cpu",
                format!("window=1000 Domain-0={dom0} net={net} guest1=200"),
            ),
            ("send.1/guest1", "80000".to_owned()),
            ("send.1/guest2", "160000".to_owned()),
            ("linux", "6.12".to_owned()),
        ];
        BTreeMap::from(said.map(|(name, value)| (name.to_owned(), value)))
    }

    #[test]
    fn the_peer_is_not_the_backend() {
        let rounds = ["1".to_owned()];
        let ours = Run::read(&values(310, 100), "net", &[SEND], &rounds).unwrap();
        let linux = Run::read(&values(700, 0), "Domain-0", &[SEND], &rounds).unwrap();
        let round = &ours.jobs[0].1[0];
        assert!((round.value - 30e6).abs() < 1e-6);
        assert!((ours.backend_share(round, ours.peer_cost("send")) - 0.1).abs() < 1e-9);
        let share = linux.backend_share(&linux.jobs[0].1[0], ours.peer_cost("send"));
        assert!((share - (0.7 - 0.01 - 0.31)).abs() < 1e-9);
        assert!(ours.peer_cost("pair").abs() < 1e-9);
    }

    #[test]
    fn a_report_that_is_not_whole_gives_no_figures() {
        let read = |values: &BTreeMap<String, String>| {
            Run::read(values, "net", &[SEND], &["1".to_owned()]).map(drop)
        };
        assert!(read(&values(1, 1)).is_ok());
        for name in ["idle.1/cpu", "send.1/cpu"] {
            let mut values = values(1, 1);
            values.remove(name);
            assert!(read(&values).is_err(), "{name}");
        }
        let mut silent = values(1, 1);
        silent.retain(|name, _| !name.contains("guest"));
        assert!(read(&silent).is_err());
        silent.insert("send.1/guest1".to_owned(), String::new());
        assert!(read(&silent).is_err());
    }
}
