//! Where the server's programs are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// The variable that overrides the search.
const BIN_DIR: &str = "FLEET_PG_BINDIR";

/// A folder with `initdb` and `postgres`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds the programs: of the version that made the data where there is data, else the first.
    pub(super) fn find(data: &Path) -> Result<Self, EmbeddedError> {
        let made_by = data_version(data);
        let mut found = Vec::new();
        for dir in candidates()? {
            let Some(binaries) = Self::in_dir(dir) else {
                continue;
            };
            if made_by.is_none_or(|major| major == binaries.major) {
                return Ok(binaries);
            }
            found.push(binaries.major.to_string());
        }
        found.dedup();
        match made_by {
            Some(made_by) if !found.is_empty() => Err(EmbeddedError::WrongVersion {
                data: data.to_owned(),
                made_by,
                found: found.join(", "),
            }),
            _ => Err(EmbeddedError::NoBinaries {
                searched:
                    "pg_config --bindir, /usr/lib/postgresql, /usr/pgsql-*, Homebrew and PATH"
                        .to_owned(),
            }),
        }
    }

    /// The path of a program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn in_dir(dir: PathBuf) -> Option<Self> {
        let is_there = |name: &str| dir.join(name).is_file();
        if !is_there("initdb") || !is_there("postgres") {
            return None;
        }
        // also root may ask for the version
        let output = Command::new(dir.join("postgres")).arg("--version").output();
        let text = String::from_utf8(output.ok()?.stdout).ok()?;
        let major = leading_number(text.split_whitespace().nth(2)?)?;
        Some(Self { dir, major })
    }
}

/// The major version that made a data directory.
fn data_version(data: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data.join("PG_VERSION")).ok()?;
    leading_number(text.trim())
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..digits].parse().ok()
}

fn candidates() -> Result<Vec<PathBuf>, EmbeddedError> {
    if let Some(dir) = std::env::var_os(BIN_DIR).filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        return match Binaries::in_dir(dir.clone()) {
            Some(_) => Ok(vec![dir]),
            None => Err(EmbeddedError::WrongBinDir(dir)),
        };
    }
    let mut dirs = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !dir.is_empty() {
            dirs.push(PathBuf::from(dir));
        }
    }
    dirs.extend(newest_first("/usr/lib/postgresql", "", "bin"));
    dirs.extend(newest_first("/usr", "pgsql-", "bin"));
    for brew in ["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"] {
        dirs.extend(newest_first(&format!("{brew}/opt"), "postgresql@", "bin"));
        dirs.push(format!("{brew}/bin").into());
    }
    dirs.push("/usr/local/pgsql/bin".into());
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(std::env::split_paths(&path));
    }
    Ok(dirs)
}

/// The folders `<parent>/<prefix><number>/<leaf>`, the highest number first.
fn newest_first(parent: &str, prefix: &str, leaf: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = leading_number(name.strip_prefix(prefix)?)?;
            Some((version, entry.path().join(leaf)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_by_number() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "17", "common"] {
            std::fs::create_dir(root.path().join(version)).unwrap();
        }
        let found = newest_first(root.path().to_str().unwrap(), "", "bin");
        let names: Vec<_> = found
            .iter()
            .map(|dir| dir.strip_prefix(root.path()).unwrap())
            .collect();
        assert_eq!(names, ["17/bin", "15/bin", "9.6/bin"].map(Path::new));
    }
}
