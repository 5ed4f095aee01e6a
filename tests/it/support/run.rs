//! A run of the binary: while it lives and when it is over.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::wait::wait_until;

/// No test needs longer; what does hangs.
const LIMIT: Duration = Duration::from_mins(3);

/// What a finished process left: its output and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The command line, for messages.
    pub(crate) command: String,
    /// Everything on stdout.
    pub(crate) stdout: String,
    /// Everything on stderr.
    pub(crate) stderr: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// From start to end.
    pub(crate) elapsed: Duration,
}

impl Run {
    /// The exit code, as a shell would give it: 128 + n for a process that signal n killed.
    pub(crate) fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal))
            .expect("a code or a signal")
    }

    /// Insists on an exit code; otherwise shows everything.
    #[track_caller]
    pub(crate) fn assert_code(&self, expected: i32) -> &Self {
        assert!(
            self.code() == expected,
            "exit code {} instead of {expected}\n{self}",
            self.code()
        );
        self
    }

    /// Insists on a text in stderr.
    #[track_caller]
    pub(crate) fn assert_stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in stderr\n{self}");
        self
    }

    /// Insists on a text in stdout.
    #[track_caller]
    pub(crate) fn assert_stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "no {text:?} in stdout\n{self}");
        self
    }

    /// The one document on stdout (`-o json`).
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document: {error}\n{self}"))
    }

    /// The documents on stdout, one a line (`-o ndjson`).
    #[track_caller]
    pub(crate) fn ndjson(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not JSON: {line}: {error}\n{self}"))
            })
            .collect()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "$ {} ({} after {:?})\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.status, self.elapsed, self.stdout, self.stderr
        )
    }
}

/// A process that is running; killed if the test forgets it.
pub(crate) struct Child {
    command: String,
    process: std::process::Child,
    started: Instant,
    stdout: Capture,
    stderr: Capture,
}

impl Child {
    /// Starts a command with both outputs captured and no stdin.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let line = command_line(&command);
        let mut process = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        Self {
            command: line,
            started: Instant::now(),
            stdout: Capture::start(process.stdout.take().expect("piped")),
            stderr: Capture::start(process.stderr.take().expect("piped")),
            process,
        }
    }

    /// Ctrl-C: SIGINT.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL: nothing is tidied up.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGSTOP: as a machine that is paused.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: goes on after a pause.
    pub(crate) fn unpause(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the child is not reaped yet");
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("our own child").is_none()
    }

    /// What it has written to stdout so far.
    pub(crate) fn stdout_so_far(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr_so_far(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits for its end, three minutes at most.
    #[track_caller]
    pub(crate) fn wait(self) -> Run {
        self.wait_at_most(LIMIT)
    }

    /// Waits for its end and says how many kilobytes of memory it had at most.
    #[track_caller]
    pub(crate) fn wait_with_peak_memory(mut self) -> (Run, u64) {
        let path = format!("/proc/{}/status", self.pid());
        let mut peak = 0;
        // a process that has ended has no such line any more
        while self.is_running() && self.started.elapsed() < LIMIT {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmHWM:"));
            let now = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
            peak = peak.max(now.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(2));
        }
        (self.wait(), peak)
    }

    /// Waits for its end; one that takes longer is killed and fails the test.
    #[track_caller]
    pub(crate) fn wait_at_most(mut self, limit: Duration) -> Run {
        let status = loop {
            if let Some(status) = self.process.try_wait().expect("our own child") {
                break status;
            }
            assert!(
                self.started.elapsed() < limit,
                "still running after {limit:?}: $ {}\n--- stdout\n{}\n--- stderr\n{}",
                self.command,
                self.stdout_so_far(),
                self.stderr_so_far()
            );
            std::thread::sleep(Duration::from_millis(2));
        };
        Run {
            command: std::mem::take(&mut self.command),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
            status,
            elapsed: self.started.elapsed(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // an error says that it has ended already
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads a stream to its end beside the test, so that the process never waits for a reader.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn start(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                filled
                    .lock()
                    .expect("no reader panics")
                    .extend_from_slice(&buffer[..n]);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no reader panics")).into_owned()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            wait_until(
                "the output is closed (a process that it left behind holds it open)",
                || reader.is_finished(),
            );
        }
        self.so_far()
    }
}

fn command_line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy()];
    words.extend(command.get_args().map(std::ffi::OsStr::to_string_lossy));
    words.join(" ")
}
