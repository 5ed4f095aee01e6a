//! What the streams of this process can show: colour, width, moving bars.

use std::ffi::OsString;
use std::io::IsTerminal as _;

/// The width that text is wrapped to where there is no terminal to ask.
const WIDTH_WITHOUT_TERMINAL: u16 = 100;
/// The width of a terminal that does not know its own.
const WIDTH_UNKNOWN: u16 = 80;

/// What `--color` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Colour where a terminal shows it and the environment does not object.
    #[default]
    Auto,
    /// Colour everywhere.
    Always,
    /// No colour.
    Never,
}

/// A stream that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Results.
    Stdout,
    /// Progress and notices.
    Stderr,
}

/// How text for one stream looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether escape sequences for colour are written.
    pub color: bool,
    /// Columns to wrap lists of names to.
    pub width: u16,
    /// What the commands that are proposed must repeat.
    pub invocation: Invocation,
}

/// How this process was called, as far as another command must repeat it to see the same fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation {
    config: &'static str,
    selection: &'static str,
}

impl Invocation {
    /// Nothing needs to be repeated.
    pub const NONE: Self = Self {
        config: "",
        selection: "",
    };

    /// With a config file that was named; it is remembered for as long as the process lives.
    pub fn with_config(path: &str) -> Self {
        Self {
            config: format!(" -c {}", shell_word(path)).leak(),
            ..Self::NONE
        }
    }

    /// With tenants that were selected, as it was typed.
    #[must_use]
    pub fn with_selection(self, typed: &str) -> Self {
        Self {
            selection: format!(" {typed}").leak(),
            ..self
        }
    }

    /// A command of ours, `fleet resume …`, as it must be typed.
    pub(super) fn command(self, command: &str) -> String {
        let Some(rest) = command.strip_prefix("fleet") else {
            return command.to_owned();
        };
        let chooses = [" migrate", " plan", " rehearse"]
            .iter()
            .any(|command| rest.starts_with(command));
        let selection = if chooses && !rest.contains("--tenant") {
            self.selection
        } else {
            ""
        };
        format!("fleet{}{rest}{selection}", self.config)
    }
}

/// A word as a POSIX shell takes it.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./@+=,:%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The meaning of a colour. Words or signs always say the same, so that nothing is lost without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Red.
    Failure,
    /// Yellow.
    Warning,
    /// Green.
    Success,
    /// Dim.
    Secondary,
    /// Bold.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Failure => "31",
            Self::Warning => "33",
            Self::Success => "32",
            Self::Secondary => "2",
            Self::Strong => "1",
        }
    }
}

impl Style {
    /// No colour, and the width of a stream that is not a terminal.
    pub fn plain() -> Self {
        Self {
            color: false,
            width: WIDTH_WITHOUT_TERMINAL,
            invocation: Invocation::NONE,
        }
    }

    /// Asks the stream, the environment and the command line, which has the last word.
    pub fn detect(choice: ColorChoice, stream: Stream) -> Self {
        let terminal = is_terminal(stream);
        let width = if terminal {
            terminal_width(stream)
        } else {
            WIDTH_WITHOUT_TERMINAL
        };
        Self {
            color: Surroundings::read().show_color(choice, terminal),
            width,
            invocation: Invocation::NONE,
        }
    }

    /// The text in the colour of its meaning.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code())
        } else {
            text.to_owned()
        }
    }
}

/// What both streams of this process can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// For results.
    pub stdout: Style,
    /// For progress and notices.
    pub stderr: Style,
    /// Whether bars can move on stderr: a terminal that understands more than lines.
    pub live: bool,
}

impl Screen {
    /// Asks both streams and the environment.
    pub fn detect(choice: ColorChoice, invocation: Invocation) -> Self {
        let style = |stream| Style {
            invocation,
            ..Style::detect(choice, stream)
        };
        Self {
            stdout: style(Stream::Stdout),
            stderr: style(Stream::Stderr),
            live: is_terminal(Stream::Stderr) && !Surroundings::read().dumb,
        }
    }
}

fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    }
}

fn terminal_width(stream: Stream) -> u16 {
    let terminal = match stream {
        Stream::Stdout => console::Term::stdout(),
        Stream::Stderr => console::Term::stderr(),
    };
    // a terminal over a serial line or in a container often says 0
    match terminal.size_checked() {
        Some((_, columns)) if columns > 0 => columns,
        _ => WIDTH_UNKNOWN,
    }
}

/// The environment variables that speak about colour.
#[derive(Clone, Copy, Debug)]
struct Surroundings {
    /// `NO_COLOR` is set and not empty, <https://no-color.org>.
    no_color: bool,
    /// `CLICOLOR_FORCE` is set and not `0`, <https://bixense.com/clicolors>.
    force_color: bool,
    /// `TERM` is `dumb`, or missing.
    dumb: bool,
}

impl Surroundings {
    fn read() -> Self {
        Self::from(|name| std::env::var_os(name))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self {
            no_color: filled("NO_COLOR").is_some(),
            force_color: filled("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: filled("TERM").is_none_or(|value| value == "dumb"),
        }
    }

    fn show_color(self, choice: ColorChoice, terminal: bool) -> bool {
        match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !self.no_color && (self.force_color || (terminal && !self.dumb)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(set: &[(&str, &str)]) -> Surroundings {
        Surroundings::from(|name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_command_line_beats_no_color_which_beats_force_which_beats_the_terminal() {
        let xterm = ("TERM", "xterm-256color");
        let auto = |set: &[(&str, &str)], terminal| {
            surroundings(set).show_color(ColorChoice::Auto, terminal)
        };
        assert!(auto(&[xterm], true));
        assert!(!auto(&[xterm], false));
        assert!(!auto(&[("TERM", "dumb")], true));
        assert!(!auto(&[], true));
        assert!(!auto(&[xterm, ("NO_COLOR", "1")], true));
        assert!(auto(&[xterm, ("NO_COLOR", "")], true));
        assert!(auto(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!auto(&[xterm, ("CLICOLOR_FORCE", "0")], false));
        assert!(!auto(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
        let no_color = surroundings(&[("NO_COLOR", "1")]);
        assert!(no_color.show_color(ColorChoice::Always, false));
        assert!(!surroundings(&[xterm]).show_color(ColorChoice::Never, true));
    }

    #[test]
    fn a_proposed_command_names_the_config_as_a_shell_takes_it() {
        let plain = Invocation::NONE;
        assert_eq!(plain.command("fleet show"), "fleet show");
        let named = Invocation::with_config("ops/fleet.yaml");
        assert_eq!(named.command("fleet show"), "fleet -c ops/fleet.yaml show");
        let odd = Invocation::with_config("it's.yaml");
        assert_eq!(odd.command("fleet show"), r"fleet -c 'it'\''s.yaml' show");
        let selecting = named.with_selection("--tenant 'a*'");
        assert_eq!(
            selecting.command("fleet show"),
            "fleet -c ops/fleet.yaml show"
        );
        assert_eq!(
            selecting.command("fleet migrate --to 3"),
            "fleet -c ops/fleet.yaml migrate --to 3 --tenant 'a*'"
        );
    }

    #[test]
    fn paint_is_only_for_those_who_see_it() {
        let plain = Style::plain();
        assert_eq!(plain.paint(Tone::Failure, "bad"), "bad");
        let color = Style {
            color: true,
            ..plain
        };
        assert_eq!(color.paint(Tone::Failure, "bad"), "\u{1b}[31mbad\u{1b}[0m");
        assert_eq!(color.paint(Tone::Failure, ""), "");
    }
}
