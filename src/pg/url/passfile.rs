//! The password file, `~/.pgpass`: `host:port:database:user:password`, as libpq reads it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a password is looked up for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The host, a directory for a socket.
    pub(super) host: &'a str,
    /// The port.
    pub(super) port: u16,
    /// The database.
    pub(super) database: &'a str,
    /// The user.
    pub(super) user: &'a str,
}

/// What a password file gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A password.
    Password(String),
    /// No such file, or no line that matches.
    Nothing,
    /// Others can read the file, so that libpq does not use it and neither do we.
    TooOpen,
}

/// Looks a password up.
pub(super) fn look_up(path: &Path, wanted: Wanted<'_>) -> Found {
    let Ok(metadata) = std::fs::metadata(path) else {
        return Found::Nothing;
    };
    if !metadata.is_file() {
        return Found::Nothing;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Found::TooOpen;
    }
    let Ok(text) = std::fs::read_to_string(path) else {
        return Found::Nothing;
    };
    text.lines()
        .find_map(|line| password_of(line, wanted))
        .map_or(Found::Nothing, Found::Password)
}

fn password_of(line: &str, wanted: Wanted<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    // the default socket goes by the name of localhost
    let host = match wanted.host {
        "/var/run/postgresql" | "/run/postgresql" | "/tmp" => "localhost",
        host => host,
    };
    let port = wanted.port.to_string();
    let mut rest = line;
    for value in [host, &port, wanted.database, wanted.user] {
        let (field, after) = field(rest)?;
        let is_wildcard = rest.starts_with("*:");
        if !is_wildcard && field != value {
            return None;
        }
        rest = after;
    }
    // the password ends with the line; a colon in it need not be escaped
    let mut password = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => password.extend(chars.next()),
            c => password.push(c),
        }
    }
    (!password.is_empty()).then_some(password)
}

/// One field with `\:` and `\\` undone, and what follows its colon.
fn field(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return Some((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    const WANTED: Wanted<'static> = Wanted {
        host: "db.example",
        port: 5432,
        database: "shop",
        user: "app",
    };

    #[test]
    fn the_first_line_that_matches_counts() {
        assert_eq!(password_of("other:*:*:*:x", WANTED), None);
        assert_eq!(password_of("#db.example:*:*:*:x", WANTED), None);
        assert_eq!(
            password_of("*:5432:shop:app:a\\:b\\\\c:d", WANTED).as_deref(),
            Some("a:b\\c:d")
        );
        assert_eq!(password_of("*:5433:shop:app:x", WANTED), None);
    }

    #[test]
    fn fields_may_hold_escaped_colons_and_a_star_of_their_own() {
        let wanted = Wanted {
            host: "::1",
            user: "*",
            ..WANTED
        };
        assert_eq!(
            password_of("\\:\\:1:*:*:\\*:x", wanted).as_deref(),
            Some("x")
        );
        assert_eq!(password_of("\\*:*:*:*:x", WANTED), None);
    }

    #[test]
    fn the_default_socket_is_localhost() {
        let wanted = Wanted {
            host: "/var/run/postgresql",
            ..WANTED
        };
        assert_eq!(
            password_of("localhost:*:*:*:x", wanted).as_deref(),
            Some("x")
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*:*:*:*:x\n").unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        assert_eq!(look_up(file.path(), WANTED), Found::TooOpen);
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(look_up(file.path(), WANTED), Found::Password("x".into()));
    }
}
