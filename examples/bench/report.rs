//! The results in words: Markdown for people and for `docs/benchmarks`.

use std::fmt::Write as _;
use std::fs;

use crate::aims::{self, Aim};
use crate::options::Options;
use crate::plot;
use crate::results::{Key, Results, Sample, Wire, Work};
use crate::run::Bench;
use crate::tools::{ReadPlan, Tool};

const WORKS: [(Work, &str, &str); 3] = [
    (
        Work::W1,
        "w1",
        "W1, a fresh deploy: empty tenants, ten migrations",
    ),
    (
        Work::W2,
        "w2",
        "W2, one more migration: a column and an index on tables of 100 rows",
    ),
    (Work::W3, "w3", "W3, again: nothing to do"),
];

const COLUMNS: &str = "\
Medians of rounds in which every tool runs once, in an order that changes, on fresh databases after a CHECKPOINT. Times are \
those of whole processes from start to end: connecting, planning and fleet's control schema are in them. × is the ratio of \
the medians, with the least and the most of single rounds; × CPU is that of both sides' CPU, which other work on the \
machine disturbs less. CPU is user and system time of all processes of a side, the \
server's housekeeping among them. MiB is the most that the largest process of the client's side had in memory. Commits are \
all transactions of the database, *writing* those that wrote.";

/// Prints everything, and keeps it where that is asked for.
#[expect(clippy::print_stdout, reason = "the result of a program")]
pub(crate) fn publish(bench: &Bench<'_>, machine: &[(String, String)]) -> anyhow::Result<()> {
    let (options, results) = (bench.options, &bench.results);
    let mut plots = Vec::new();
    if let Some(folder) = &options.save {
        fs::create_dir_all(folder)?;
        for (work, name, title) in WORKS {
            let note = format!(
                "median time, {} connections, client and server on one machine; both axes are logarithmic",
                options.concurrency
            );
            if let Some(svg) = plot::draw(results, work, title, &note) {
                fs::write(folder.join(format!("{name}.svg")), svg)?;
                plots.push(work);
            }
        }
    }
    let text = markdown(options, machine, results, &plots)?;
    if let Some(folder) = &options.save {
        let head = "# Benchmarks\n\nWritten by `scripts/bench`, which measures all of it anew. Read the ratios, not the \
                    milliseconds.\n\nHow fast tenants are compared is in [verify.md](verify.md).\n\n";
        fs::write(folder.join("README.md"), format!("{head}{text}"))?;
    }
    print!("{text}");
    Ok(())
}

fn markdown(
    options: &Options,
    machine: &[(String, String)],
    results: &Results,
    plots: &[Work],
) -> anyhow::Result<String> {
    let mut text = machine_table(machine)?;
    for why in &options.left_out {
        writeln!(text, "| left out | {why} |")?;
    }
    summary(&mut text, &aims::judge(results, options.concurrency))?;
    writeln!(text, "\n{COLUMNS}")?;
    for (work, name, title) in WORKS {
        for (wire, between) in [
            (Wire::Loopback, "client and server on one machine"),
            (Wire::Long, "2.5 ms each way between them"),
        ] {
            let keys = results.keys();
            let keys: Vec<Key> = keys
                .filter(|key| (key.work, key.wire) == (work, wire))
                .collect();
            if keys.is_empty() {
                continue;
            }
            writeln!(text, "\n## {title}, {between}\n")?;
            if wire == Wire::Loopback && plots.contains(&work) {
                writeln!(text, "![Time against tenants]({name}.svg)\n")?;
            }
            table(&mut text, results, &keys)?;
            if work == Work::W3 {
                reads(&mut text, results, wire)?;
            }
        }
    }
    Ok(text)
}

/// Where it was measured.
pub(crate) fn machine_table(machine: &[(String, String)]) -> anyhow::Result<String> {
    let mut text = String::from("| where | |\n|---|---|\n");
    for (what, which) in machine {
        writeln!(text, "| {what} | {which} |")?;
    }
    Ok(text)
}

fn summary(text: &mut String, aims: &[Aim]) -> anyhow::Result<()> {
    if aims.is_empty() {
        return Ok(());
    }
    text.push_str("\n## Aims\n\n| what | aim | seen | reached |\n|---|---|---|---|\n");
    for aim in aims {
        let reached = if aim.is_reached { "yes" } else { "**no**" };
        writeln!(
            text,
            "| {} | {} | {} | {reached} |",
            aim.what, aim.wanted, aim.seen
        )?;
    }
    Ok(())
}

/// What the fastest read was, for those who want to beat it.
fn reads(text: &mut String, results: &Results, wire: Wire) -> anyhow::Result<()> {
    for ((_, tenants), read) in results.reads.iter().filter(|((of, _), _)| *of == wire) {
        let ReadPlan {
            style,
            tenants_a_message,
            connections,
        } = read;
        let tenants = thousands(*tenants);
        write!(
            text,
            "\nThe fastest read of {tenants} histories: {style}, {tenants_a_message} tenants a message, {connections} connections.\n"
        )?;
    }
    Ok(())
}

/// A line for each number of tenants and tool.
fn table(text: &mut String, results: &Results, keys: &[Key]) -> anyhow::Result<()> {
    let is_wire = keys.iter().any(|key| key.wire == Wire::Long);
    let mut columns = vec![
        "tenants",
        "tool",
        "ms",
        "ms a tenant",
        "× limit (rounds)",
        "× CPU",
        "client CPU ms a tenant",
        "server CPU ms a tenant",
        "MiB",
        "commits a tenant",
        "writing",
        "rounds",
    ];
    if is_wire {
        columns.extend(["round trips a tenant", "connections"]);
    }
    writeln!(
        text,
        "| {} |\n|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    )?;
    let mut keys = keys.to_vec();
    keys.sort_by_key(|key| (key.tenants, key.tool));
    for key in keys {
        writeln!(text, "| {} |", cells(results, key).join(" | "))?;
    }
    Ok(())
}

fn cells(results: &Results, key: Key) -> Vec<String> {
    let tenants = as_number(key.tenants);
    let of = |number: fn(&Sample) -> f64| results.median(key, number).unwrap_or(f64::NAN);
    let limit = limit(key);
    let ratio = match results.ratio(key, limit, Sample::wall_ms) {
        Some(ratio) if key != limit => {
            format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most)
        }
        _ => String::new(),
    };
    let wall = of(Sample::wall_ms);
    let cpu_ratio = match results.ratio(key, limit, Sample::cpu_ms) {
        Some(ratio) if key != limit && ratio.median.is_finite() => format!("{:.2}", ratio.median),
        _ => String::new(),
    };
    let mut cells = vec![
        thousands(key.tenants),
        key.tool.name().to_owned(),
        format!("{wall:.0}"),
        format!("{:.2}", wall / tenants),
        ratio,
        cpu_ratio,
        format!(
            "{:.2}",
            of(|sample| sample.usage.cpu.as_secs_f64() * 1e3) / tenants
        ),
        format!(
            "{:.2}",
            of(|sample| sample.server.cpu.as_secs_f64() * 1e3) / tenants
        ),
        format!(
            "{:.0}",
            of(|sample| as_number(sample.usage.peak_kib)) / 1024.0
        ),
        format!(
            "{:.2}",
            of(|sample| as_number(sample.server.commits)) / tenants
        ),
        format!(
            "{:.2}",
            of(|sample| as_number(sample.server.writes)) / tenants
        ),
        results.samples(key).len().to_string(),
    ];
    if key.wire == Wire::Long {
        let trips = of(|sample| {
            sample
                .traffic
                .map_or(0.0, |traffic| as_number(traffic.round_trips))
        });
        let peak = of(|sample| {
            sample
                .traffic
                .map_or(0.0, |traffic| as_number(traffic.peak))
        });
        cells.extend([format!("{:.2}", trips / tenants), format!("{peak:.0}")]);
    }
    cells
}

/// What a line is compared with.
fn limit(key: Key) -> Key {
    match key.work {
        Work::W1 | Work::W2 => key.by(Tool::Raw),
        Work::W3 => key.by(Tool::Read),
        Work::Verify => key.by(Tool::Catalogue),
    }
}

/// As a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts and KiB, far below 2^52")]
pub(crate) fn as_number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(0) as f64
}

/// `10,000`.
pub(crate) fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
