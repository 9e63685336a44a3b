//! From what a run reported to figures.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::super::figures::Meter;

/// In what a job's figure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Bytes a second.
    Bytes,
    /// Requests a second.
    Requests,
    /// The time a request takes.
    Latency,
}

/// What fio is told: `rw`, `bs` and `iodepth`.
pub type Fio = (&'static str, &'static str, u32);

/// One job that guests do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it does.
    pub title: String,
    /// In what its figure is told.
    pub told: Told,
    /// What fio is told.
    pub fio: Fio,
    /// How many guests do it at once.
    pub guests: usize,
}

/// What one round of a job gave, of all its guests together.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// KiB a second, by fio's account, in the machine's time.
    pub kib_per_s: f64,
    /// Requests a second.
    pub iops: f64,
    /// Mean time of a request, from its submission to its completion, in µs.
    pub latency_us: f64,
    /// The backend's share of the processor while the job ran, without what its domain does when nothing is asked of it.
    pub backend_share: f64,
    /// The share of time in which the processor had nothing to do.
    pub idle_share: f64,
}

impl Round {
    /// The backend's processor time a byte, in ns.
    pub fn cpu_ns_per_byte(&self) -> f64 {
        self.backend_share * 1e9 / (self.kib_per_s * 1024.0)
    }

    /// What is left of the machine's time if the backend costs nothing is what this job would take then: this throughput
    /// as a part of that one. Idle time is nobody's cost, and counts against it too.
    pub fn ceiling_share(&self) -> f64 {
        1.0 - self.backend_share - self.idle_share
    }
}

/// Everything one backend was measured at.
#[derive(Debug)]
pub struct Run {
    /// The rounds of each job.
    pub jobs: Vec<(Job, Vec<Round>)>,
    /// The share of the processor that the backend's domain takes when nothing is asked of it.
    pub idle_cost: f64,
    /// Other things that were said: versions, memory.
    pub values: BTreeMap<String, String>,
}

impl Run {
    /// Reads what was reported: for each JOB.ROUND its `/cpu`, and each of its guests' `/fioN`.
    pub fn read(
        values: &BTreeMap<String, String>,
        domain: &str,
        jobs: &[Job],
        rounds: &[String],
    ) -> Result<Self> {
        let value = |name: String| {
            values
                .get(&name)
                .with_context(|| format!("{name} was not reported"))
        };
        let idle_cost = Meter::read(value("idle/cpu".to_owned())?)?.share(domain)?;
        let mut read = Vec::new();
        for job in jobs {
            let round = |round_name: &String| {
                let name = format!("{}.{round_name}", job.name);
                let meter = Meter::read(value(format!("{name}/cpu"))?)?;
                let said = (1..=job.guests).map(|guest| value(format!("{name}/fio{guest}")));
                let said = said.collect::<Result<Vec<_>>>()?;
                round(&meter, &said, domain, idle_cost).context(name)
            };
            read.push((job.clone(), rounds.iter().map(round).collect::<Result<_>>()?));
        }
        let others = values.iter().filter(|(name, _)| !name.contains('/'));
        Ok(Self {
            jobs: read,
            idle_cost,
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
}

fn round(meter: &Meter, said: &[&String], domain: &str, idle_cost: f64) -> Result<Round> {
    let mut all = Round {
        kib_per_s: 0.0,
        iops: 0.0,
        latency_us: 0.0,
        backend_share: meter.share(domain)? - idle_cost,
        idle_share: 1.0 - meter.busy(),
    };
    for fio in said {
        let (kib_per_s, iops, latency_us) = terse(fio)?;
        all.kib_per_s += kib_per_s;
        all.iops += iops;
        all.latency_us += latency_us / said.len() as f64;
    }
    Ok(all)
}

/// KiB and requests a second, and a request's mean time in µs.
fn terse(fio: &str) -> Result<(f64, f64, f64)> {
    // Terse format, version 3: five words of introduction, 41 fields on reading, then as many on writing, alike.
    let fields: Vec<&str> = fio.split(';').collect();
    if fields.first() != Some(&"3") || fields.get(4) != Some(&"0") {
        bail!("fio reports an error, or in another form: {fio}");
    }
    let number = |at: usize| -> Result<f64> {
        let field = fields
            .get(at)
            .with_context(|| format!("fio's report has no field {at}"))?;
        field
            .parse()
            .with_context(|| format!("fio's field {at}: {field}"))
    };
    let way = if number(5)? > 0.0 { 5 } else { 46 };
    let (kib, milliseconds) = (number(way)?, number(way + 3)?);
    if kib <= 0.0 || milliseconds < 2900.0 {
        bail!("fio did {kib} KiB in {milliseconds} ms");
    }
    Ok((kib * 1000.0 / milliseconds, number(way + 2)?, number(way + 34)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(guests: usize) -> Job {
        Job {
            name: "seqread".to_owned(),
            title: String::new(),
            told: Told::Bytes,
            fio: ("read", "128k", 16),
            guests,
        }
    }

    /// As fio says it, up to the fields that are read.
    fn fio(error: u32, read: &str, write: &str) -> String {
        let side = |said: &str| {
            let mut fields: Vec<String> = said.split(';').map(str::to_owned).collect();
            fields.resize(34, "0".to_owned());
            fields.push("245.5".to_owned());
            fields.resize(41, "0".to_owned());
            fields.join(";")
        };
        format!("3;fio-3.39;seqread.1;0;{error};{};{}", side(read), side(write))
    }

    fn report(fio: String) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                ("idle/cpu", "window=1000 block=10 guest=0".to_owned()),
                ("seqread.1/cpu", "window=2000 block=220 guest=1760".to_owned()),
                ("seqread.1/fio1", fio),
                ("linux", "6.12".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    }

    #[test]
    fn figures_are_what_was_reported() {
        for fio in [
            fio(0, "600000;200000;1562;3000", "0;0;0;0"),
            fio(0, "0;0;0;0", "600000;200000;1562;3000"),
        ] {
            let run = Run::read(&report(fio), "block", &[job(1)], &["1".to_owned()]).unwrap();
            let round = run.jobs[0].1[0];
            assert_eq!(
                (round.kib_per_s, round.iops, round.latency_us),
                (200_000.0, 1562.0, 245.5)
            );
            assert!((round.backend_share - 0.10).abs() < 1e-9);
            assert!((round.idle_share - 0.01).abs() < 1e-9);
            assert!((round.ceiling_share() - 0.89).abs() < 1e-9);
            assert!((round.cpu_ns_per_byte() - 0.1e9 / (200_000.0 * 1024.0)).abs() < 1e-9);
            assert_eq!(
                run.values,
                BTreeMap::from([("linux".to_owned(), "6.12".to_owned())])
            );
        }
    }

    #[test]
    fn a_report_that_is_not_whole_gives_no_figures() {
        let good = || fio(0, "600000;200000;1562;3000", "0;0;0;0");
        let read =
            |values: &BTreeMap<String, String>| Run::read(values, "block", &[job(1)], &["1".to_owned()]);
        assert!(read(&report(good())).is_ok());
        assert!(read(&report(fio(5, "600000;200000;1562;3000", "0;0;0;0"))).is_err());
        assert!(read(&report(fio(0, "600000;200000;1562;1000", "0;0;0;0"))).is_err());
        assert!(read(&report(fio(0, "0;0;0;0", "0;0;0;0"))).is_err());
        assert!(read(&report("3;fio".to_owned())).is_err());
        for name in ["idle/cpu", "seqread.1/cpu", "seqread.1/fio1"] {
            let mut values = report(good());
            values.remove(name);
            assert!(read(&values).is_err(), "{name}");
        }
        assert!(Run::read(&report(good()), "Domain-0", &[job(1)], &["1".to_owned()]).is_err());
    }

    #[test]
    fn guests_are_summed() {
        let mut values = report(fio(0, "600000;200000;1562;3000", "0;0;0;0"));
        let other = fio(0, "300000;100000;781;3000", "0;0;0;0");
        values.insert("seqread.1/fio2".to_owned(), other);
        let read = |guests| Run::read(&values, "block", &[job(guests)], &["1".to_owned()]);
        let run = read(2).unwrap();
        let round = run.rounds("seqread").unwrap()[0];
        assert_eq!(
            (round.kib_per_s, round.iops, round.latency_us),
            (300_000.0, 2343.0, 245.5)
        );
        assert!(run.rounds("seqwrite").is_err());
        assert!(read(3).is_err());
    }
}
