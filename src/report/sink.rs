//! Streams that never get in the way: a reader that went away or a full disk ends the writing,
//! not the run.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// How long a stream that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Writes a result to stdout, whole or as far as somebody reads it.
///
/// # Errors
/// Where stdout breaks for another reason than that its reader went away: a result that could not
/// be delivered is not a success.
pub fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(Patient(io::stdout().lock()));
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A stream of a run. After the first error nothing more is written to it.
pub(super) struct Sink {
    out: Option<Box<dyn Write + Send>>,
    broken: Option<io::Error>,
}

impl Sink {
    /// Results.
    pub(super) fn stdout() -> Self {
        Self::new(BufWriter::new(Patient(io::stdout())))
    }

    /// Progress and notices.
    pub(super) fn stderr() -> Self {
        Self::new(BufWriter::new(Patient(io::stderr())))
    }

    /// Any stream.
    pub(super) fn new(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Some(Box::new(out)),
            broken: None,
        }
    }

    /// Writes and flushes; an error closes the sink.
    pub(super) fn put(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if let Some(out) = &mut self.out
            && let Err(error) = write(out.as_mut()).and_then(|()| out.flush())
        {
            self.out = None;
            self.broken = Some(error);
        }
    }

    /// Why it broke, unless its reader went away.
    pub(super) fn undelivered(&self) -> Option<String> {
        let error = self.broken.as_ref()?;
        // a stream that was closed before we started is a bad descriptor: nobody wanted to read
        let is_unread = error.kind() == ErrorKind::BrokenPipe
            || error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error());
        (!is_unread).then(|| error.to_string())
    }

    /// Writes one line.
    pub(super) fn line(&mut self, text: &str) {
        self.put(|out| writeln!(out, "{text}"));
    }
}

/// Waits for a pipe that somebody else made non-blocking, as Node does with those of its children;
/// `write_all` would lose the rest of a document there.
struct Patient<W>(W);

impl<W> Patient<W> {
    fn wait<T>(&mut self, attempt: impl Fn(&mut W) -> io::Result<T>) -> io::Result<T> {
        let mut waited = Duration::ZERO;
        loop {
            match attempt(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && waited < PATIENCE => {
                    thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                result => return result,
            }
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes every second write only, and three bytes of it.
    struct Reluctant {
        taken: Vec<u8>,
        willing: bool,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.willing = !self.willing;
            if self.willing {
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(3);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_would_block_gets_everything_in_the_end() {
        let mut patient = Patient(Reluctant {
            taken: Vec::new(),
            willing: false,
        });
        patient.write_all(b"every byte").unwrap();
        assert_eq!(patient.0.taken, b"every byte");
    }
}
