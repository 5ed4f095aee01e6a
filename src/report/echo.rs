//! While bars move, the terminal does not write `^C` where the cursor is.
//!
//! The cursor waits at the right edge below the bars, so that two characters there would wrap onto
//! a new line and leave a dead bar behind when the next frame is drawn.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Holds the terminal's own settings, and puts them back.
pub(super) struct MutedControlKeys {
    original: Termios,
}

impl MutedControlKeys {
    /// Mutes the terminal behind stderr. None where there is none, or where it belongs to somebody
    /// else now: a process in the background would be stopped for the attempt.
    pub(super) fn begin() -> Option<Self> {
        if !is_foreground() {
            return None;
        }
        let original = tcgetattr(io::stderr()).ok()?;
        let mut muted = original.clone();
        muted.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(io::stderr(), OptionalActions::Now, &muted).ok()?;
        Some(Self { original })
    }
}

impl Drop for MutedControlKeys {
    fn drop(&mut self) {
        if is_foreground() {
            // a terminal that has gone away keeps no settings
            let _ = tcsetattr(io::stderr(), OptionalActions::Now, &self.original);
        }
    }
}

fn is_foreground() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}
