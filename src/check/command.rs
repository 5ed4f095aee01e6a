//! A check by a command of the shell.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::tenant::TenantId;

/// How much is told of what a command has said.
const TOLD_CHARS: usize = 300;

/// Runs the command, which must exit with 0. It finds the wave's name in `FLEET_WAVE`, and its tenants on its standard
/// input, one `database/schema` a line.
pub(super) async fn check(
    command: &str,
    timeout: Duration,
    wave: &str,
    members: &[TenantId],
) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("FLEET_WAVE", wave)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // what it starts belongs to it
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the shell could not be started: {error}"))?;
    let group = Group::of(&child);
    let mut names = String::new();
    for id in members {
        let _ = writeln!(names, "{}/{}", id.database.as_str(), id.schema.as_str());
    }
    let input = child.stdin.take();
    let tell = async {
        if let Some(mut input) = input {
            // nobody has to read it
            let _ = input.write_all(names.as_bytes()).await;
        }
    };
    let ended = async { tokio::join!(child.wait_with_output(), tell).0 };
    let ended = tokio::time::timeout(timeout, ended).await;
    drop(group);
    let output = match ended {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("the command could not be waited for: {error}")),
        Err(_) => {
            let timeout = humantime::format_duration(timeout);
            return Err(format!("the command has not ended within {timeout}"));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stderr, &output.stdout];
    let said = said.into_iter().find_map(|said| last_line(said));
    let status = output.status;
    Err(match said {
        Some(said) => format!("the command ended with {status}: {said}"),
        None => format!("the command ended with {status}"),
    })
}

/// A command and all that it has started; ends with the task that waits for it: when the run is stopped, when
/// the time is over, and what was left in the background when the command itself has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // all of it may have ended already
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

fn last_line(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rev().find(|line| !line.trim().is_empty())?;
    let line = line.trim().chars().take(TOLD_CHARS);
    Some(line.flat_map(shown).collect())
}

fn shown(c: char) -> Vec<char> {
    if c.is_control() {
        c.escape_default().collect()
    } else {
        vec![c]
    }
}
