//! What a driver domain is before it has done anything: how soon it serves, how much memory and code it takes, and how much
//! of its disk's own speed is left when nobody stands between.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::figures::Figure;
use super::page::{Facts, Row, number, provenance, publish, table, value};
use super::peer::Peer;
use super::{block, gadgets, net, python};
use crate::boot::{Additions, Outcome, Runner, Scenario};
use crate::image;

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How often each driver domain is created
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
}

/// MiB with which Linux is tried, until it does not serve any more. Ours is what its configuration says.
const TRIED_MIB: [&str; 3] = ["96", "84", "76"];

const CLASSES: [&str; 2] = ["block", "net"];

const MACHINE: &str = r#"
board = "qemu-virt"

[domain.block]
class = "block"
devices = ["/virtio_mmio@a003e00"]
log = "info"

[domain.net]
class = "net"
devices = ["/virtio_mmio@a002e00"]
log = "info"

[domain.net.options]
segments = ["xenbr0:net0"]
"#;

const SCENARIO: Scenario = Scenario {
    name: "bench-start",
    disks: block::SCENARIO.disks,
    checks: &[
        "block comes and goes",
        "net comes and goes",
        "both serve with little memory",
    ],
    timeout: Duration::from_secs(1800),
    ..net::SCENARIO
};

/// Boots each of the two kinds of driver domain and counts.
pub fn run(options: &Options) -> Result<()> {
    image::build_named(&CLASSES.map(str::to_owned))?;
    let runner = Runner::prepare()?;
    let rounds: Vec<String> = (1..=options.rounds).map(|round| round.to_string()).collect();
    let scenario = |peer: Peer, name| Scenario {
        name,
        backend: peer.backend(MACHINE),
        ..SCENARIO
    };
    let (own, linux) = (
        scenario(Peer::Ours, "bench-start-ours"),
        scenario(Peer::LinuxDomain, "bench-start-linux-domain"),
    );
    let (ours, theirs) = thread::scope(|scope| {
        let ours = scope.spawn(|| boot(&runner, &own, &additions(&runner, &rounds, &["16"])?));
        let theirs = boot(&runner, &linux, &additions(&runner, &rounds, &TRIED_MIB)?)?;
        let ours = ours
            .join()
            .map_err(|_| anyhow!("a measuring thread panicked"))??;
        anyhow::Ok((ours, theirs))
    })?;

    let kernel = fs::read(runner.sources().kernel()?)?;
    let mut page = format!(
        "# Start: how soon, how large\n\n{}\nThe peer is a driver domain that is Linux; in Dom0 Linux is there already, with all \
         that Dom0 is.\n",
        provenance("start", &ours.values, &Facts::gather(&runner, options.rounds)?)?
    );
    for class in CLASSES {
        let figure = |outcome: &Outcome, what: &str| -> Result<Figure> {
            let said = rounds
                .iter()
                .map(|round| value(&outcome.values, &format!("{class}/{what}.{round}")));
            Ok(Figure::of(&said.collect::<Result<Vec<f64>>>()?, |ms| *ms))
        };
        let mut rows = Vec::new();
        for (title, what) in [
            ("`xl create` returns after", "create"),
            ("from `xl create` to serving", "serving"),
        ] {
            rows.push(time(title, figure(&theirs, what)?, figure(&ours, what)?));
        }
        let said = |outcome: &Outcome, what: &str| value(&outcome.values, &format!("{class}/{what}"));
        let mut add = |title: &str, linux: f64, own: f64, unit: &str| {
            rows.push(vec![
                title.to_owned(),
                format!("{} {unit}", number(linux)),
                format!("{} {unit}", number(own)),
                format!("{:.4}", own / linux),
                String::new(),
            ]);
        };
        add(
            "least memory of those tried that it serves with",
            said(&theirs, "least")?,
            said(&ours, "least")?,
            "MiB",
        );
        add(
            "memory in use before anything is served, of what it has",
            said(&theirs, "memory")? - said(&theirs, "available")?,
            said(&ours, "memory")?,
            "MiB",
        );
        let archive = runner
            .sources()
            .linux_domain(&image::workspace().join("tests/boot"), class == "net")?;
        let own_image = fs::metadata(runner.built(&own, &format!("{class}.img")))?.len();
        let linux_image = (kernel.len() + archive.len()) as u64;
        add(
            "image (Linux: kernel and root file system)",
            linux_image as f64 / 1024.0,
            own_image as f64 / 1024.0,
            "KiB",
        );
        let mut code = gadgets::kernel_text(&kernel, &theirs.values)?.to_vec();
        for (_, module) in runner.sources().linux_domain_modules(class == "net")? {
            code.extend(gadgets::text(&module)?);
        }
        let own_elf = image::target_dir().join("images").join(format!("{class}.elf"));
        let own_code = gadgets::text(&fs::read(&own_elf)?)?;
        add(
            "code (Linux: kernel and modules)",
            code.len() as f64 / 1024.0,
            own_code.len() as f64 / 1024.0,
            "KiB",
        );
        eprintln!("bench: counting gadgets; Linux's take minutes, once");
        add(
            "unique gadgets in it (ROPgadget, depth 10)",
            gadgets::of_code(&code, runner.tools())? as f64,
            gadgets::of_code(&own_code, runner.tools())? as f64,
            "",
        );
        page += &format!("\n## {class}\n\n");
        page += &table(&["", "Linux domain", "ours", "ours / Linux", "spread"], &rows);
    }
    println!("{page}");
    publish(&page)
}

fn time(title: &str, linux: Figure, own: Figure) -> Row {
    vec![
        title.to_owned(),
        format!("{} ms", number(linux.mean)),
        format!("{} ms", number(own.mean)),
        format!("{:.4}", own.mean / linux.mean),
        format!("{:.1} / {:.1} %", linux.spread * 100.0, own.spread * 100.0),
    ]
}

fn additions(runner: &Runner, rounds: &[String], sizes: &[&str]) -> Result<Additions> {
    let mut dom0 = python::files(runner.sources())?;
    dom0.push(("create.py".to_owned(), python::script("dom0/create.py")?));
    let plan = format!("rounds=\"{}\"\nsizes=\"{}\"\n", rounds.join(" "), sizes.join(" "));
    dom0.push(("plan".to_owned(), plan.into_bytes()));
    Ok(Additions {
        script: Some(image::workspace().join("tests/bench/dom0/start.sh")),
        dom0,
        guest: vec![("jobs/served".to_owned(), python::script("guest/served")?)],
        skip_idle: true,
        ..Additions::default()
    })
}

fn boot(runner: &Runner, scenario: &Scenario, additions: &Additions) -> Result<Outcome> {
    let outcome = runner.run_with(scenario, additions)?;
    outcome.print();
    if outcome.failed() > 0 {
        bail!("{} could not be measured", scenario.name);
    }
    Ok(outcome)
}
