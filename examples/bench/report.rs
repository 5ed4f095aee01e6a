//! The results in words: Markdown for people and for `docs/benchmarks`.

use std::fmt::Write as _;

use crate::options::Options;
use crate::results::{Key, Results, Sample, Wire, Work};
use crate::tools::Tool;

/// Prints everything, and keeps it where that is asked for.
#[expect(clippy::print_stdout, reason = "the result of a program")]
pub(crate) fn publish(
    options: &Options,
    machine: &[(String, String)],
    results: &Results,
) -> anyhow::Result<()> {
    let text = markdown(options, machine, results)?;
    print!("{text}");
    Ok(())
}

fn markdown(
    options: &Options,
    machine: &[(String, String)],
    results: &Results,
) -> anyhow::Result<String> {
    let mut text = String::new();
    for (what, which) in machine {
        writeln!(text, "- {what}: {which}")?;
    }
    for why in &options.left_out {
        writeln!(text, "- left out: {why}")?;
    }
    for (work, title) in [
        (
            Work::W1,
            "W1, a fresh deploy: empty tenants, ten migrations",
        ),
        (
            Work::W2,
            "W2, one more migration: a column and an index, on tables of 100 rows",
        ),
        (Work::W3, "W3, again: nothing to do"),
    ] {
        for (wire, where_) in [
            (Wire::Loopback, "client and server on one machine"),
            (Wire::Long, "2.5 ms each way"),
        ] {
            let keys: Vec<Key> = results
                .keys()
                .filter(|key| key.work == work && key.wire == wire)
                .collect();
            if !keys.is_empty() {
                writeln!(text, "\n## {title} ({where_})\n")?;
                table(&mut text, results, &keys)?;
            }
        }
    }
    Ok(text)
}

/// A line a tool and number of tenants.
fn table(text: &mut String, results: &Results, keys: &[Key]) -> anyhow::Result<()> {
    let is_wire = keys.iter().any(|key| key.wire == Wire::Long);
    write!(
        text,
        "| tenants | tool | ms | ms a tenant | × limit (rounds) | CPU ms a tenant: client | server | MiB | commits a tenant | writing | rounds |"
    )?;
    text.push_str(if is_wire {
        " round trips a tenant | connections |\n"
    } else {
        "\n"
    });
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|");
    text.push_str(if is_wire { "---|---|\n" } else { "\n" });
    let mut keys = keys.to_vec();
    keys.sort_by_key(|key| (key.tenants, key.tool));
    for key in keys {
        row(text, results, key)?;
    }
    Ok(())
}

fn row(text: &mut String, results: &Results, key: Key) -> anyhow::Result<()> {
    let tenants = as_number(key.tenants);
    let of = |number: &dyn Fn(&Sample) -> f64| results.median(key, number).unwrap_or(f64::NAN);
    let limit = limit(key);
    let ratio = match results.ratio(key, limit, Sample::wall_ms) {
        Some(ratio) if key != limit => {
            format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most)
        }
        _ => String::new(),
    };
    let wall = of(&Sample::wall_ms);
    write!(
        text,
        "| {} | {} | {wall:.0} | {:.2} | {ratio} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {} |",
        thousands(key.tenants),
        key.tool.name(),
        wall / tenants,
        of(&|s| s.usage.cpu.as_secs_f64() * 1e3) / tenants,
        of(&|s| s.server.cpu.as_secs_f64() * 1e3) / tenants,
        of(&|s| as_number(s.usage.peak_kib)) / 1024.0,
        of(&|s| as_number(s.server.commits)) / tenants,
        of(&|s| as_number(s.server.writes)) / tenants,
        results.samples(key).len(),
    )?;
    if key.wire == Wire::Long {
        let trips = of(&|s| {
            s.traffic
                .map_or(0.0, |traffic| as_number(traffic.round_trips))
        });
        let peak = of(&|s| s.traffic.map_or(0.0, |traffic| as_number(traffic.peak)));
        write!(text, " {:.2} | {peak:.0} |", trips / tenants)?;
    }
    text.push('\n');
    Ok(())
}

/// What a line is compared with.
pub(crate) fn limit(key: Key) -> Key {
    match key.work {
        Work::W1 | Work::W2 => key.by(Tool::Raw),
        Work::W3 => key.by(Tool::Read),
    }
}

/// None of these numbers is large enough to lose anything.
#[expect(clippy::cast_precision_loss, reason = "counts and KiB, far below 2^52")]
pub(crate) fn as_number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(0) as f64
}

/// `10,000`.
pub(crate) fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
