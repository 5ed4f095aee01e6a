//! A real terminal: fleet writes to it, a test reads the screen and types.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::fleet::TestFleet;
use super::wait::wait_until;

/// fleet in a terminal.
pub(crate) struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    keyboard: Box<dyn Write + Send>,
    process: Box<dyn portable_pty::Child + Send + Sync>,
    reader: JoinHandle<()>,
    _window: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a command in a window of so many columns.
    pub(crate) fn start(fleet: &TestFleet, arguments: &[&str], term: &str, columns: u16) -> Self {
        let rows = 40;
        let size = PtySize {
            rows,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let plain = fleet.command(arguments);
        let mut command = CommandBuilder::new(plain.get_program());
        command.args(plain.get_args());
        command.cwd(fleet.folder());
        command.env_clear();
        for (name, value) in plain.get_envs() {
            command.env(name, value.expect("set, not taken away"));
        }
        command.env("TERM", term);
        let process = pair.slave.spawn_command(command).expect("fleet starts");
        drop(pair.slave); // so that the end of the process ends the reader
        let [height, width] = [rows, columns].map(|n| NonZeroU16::new(n).expect("not 0"));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(height, width, 1000)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let mut output = pair.master.try_clone_reader().expect("its output");
        let (drawn, kept) = (Arc::clone(&screen), Arc::clone(&bytes));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                drawn.lock().expect("no panic").process(&buffer[..n]);
                kept.lock().expect("no panic").extend(&buffer[..n]);
            }
        });
        Self {
            screen,
            bytes,
            keyboard: pair.master.take_writer().expect("a keyboard"),
            process,
            reader,
            _window: pair.master,
        }
    }

    /// The rows of the screen now, down to the last that holds something.
    pub(crate) fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().expect("no panic");
        let (_, columns) = screen.screen().size();
        let rows = screen.screen().rows(0, columns.get());
        let mut lines: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
        let end = lines.iter().rposition(|line| !line.is_empty());
        lines.truncate(end.map_or(0, |last| last + 1));
        lines
    }

    /// Whether some line on the screen holds all of these.
    pub(crate) fn shows(&self, texts: &[&str]) -> bool {
        self.lines()
            .iter()
            .any(|line| texts.iter().all(|text| line.contains(text)))
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("a keyboard");
        self.keyboard.flush().expect("a keyboard");
    }

    /// Waits for the end: the exit code, the last screen and all that was written.
    pub(crate) fn end(mut self) -> (u32, Vec<String>, String) {
        wait_until("fleet ends", || {
            self.process.try_wait().expect("our own child").is_some()
        });
        let code = self.process.wait().expect("our own child").exit_code();
        wait_until("the terminal has read all", || self.reader.is_finished());
        let bytes = self.bytes.lock().expect("no panic");
        let written = String::from_utf8_lossy(&bytes).into_owned();
        (code, self.lines(), written)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // an error says that it has ended already
        let _ = self.process.kill();
    }
}
