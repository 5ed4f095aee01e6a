//! One command, measured: its time on the wall, the CPU of it and all its processes, the memory of the
//! largest.
//!
//! The kernel keeps these sums for processes that have been waited for, over the whole life of whoever
//! waited. So each command gets a parent of its own, this program once more (`bench measure COMMAND…`),
//! whose sums are those of the command.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// What a command has cost its own side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// Of all its processes, user and system.
    pub(crate) cpu: Duration,
    /// The most that its largest process had in memory.
    pub(crate) peak_kib: u64,
}

/// Runs a command to its end. Anything but success is an error with what it has said.
pub(crate) fn run(words: &[String]) -> anyhow::Result<Usage> {
    let output = Command::new(std::env::current_exe()?)
        .arg("measure")
        .args(words)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{said}", words.join(" "));
    let printed = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = printed
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("measured: {printed}"))?;
    let [wall_us, cpu_us, peak_kib] = numbers[..] else {
        bail!("measured: {printed}");
    };
    Ok(Usage {
        wall: Duration::from_micros(wall_us),
        cpu: Duration::from_micros(cpu_us),
        peak_kib,
    })
}

/// The other side of [`run`]: the parent of the command. Prints microseconds on the wall, microseconds of
/// CPU and KiB.
#[expect(clippy::print_stdout, reason = "the result, for the other side")]
pub(crate) fn be_the_parent(words: &[String]) -> anyhow::Result<ExitCode> {
    let (program, arguments) = words.split_first().context("measure COMMAND…")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| program.clone())?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu_us: i64 = [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
        .sum();
    println!("{} {cpu_us} {}", wall.as_micros(), usage.max_rss());
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
