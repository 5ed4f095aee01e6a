//! The files below a directory, in refinery's order: by file name, directory after directory.
//! Links to directories are not followed, as in refinery, but neither are they passed over.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::name::{self, BadName, FileName};

/// A file whose name is a migration's.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Where it lies, as joined from the set's directory.
    pub(super) path: PathBuf,
    /// Its name.
    pub(super) name: FileName,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files that are migrations by their names.
    pub(super) files: Vec<Named>,
    /// Everything else that ought to be one, or might hide one.
    pub(super) problems: Vec<Problem>,
}

/// Lists a directory; only its own unreadability is an error.
pub(super) fn list(directory: &Path) -> io::Result<Listing> {
    let mut walk = Walk {
        root: directory.canonicalize()?,
        seen: HashSet::new(),
        listing: Listing::default(),
    };
    let entries = sorted(directory)?;
    walk.entries(entries);
    Ok(walk.listing)
}

struct Walk {
    root: PathBuf,
    /// Real paths and names: a mounted Kubernetes volume shows each file twice, once as itself
    /// and once through a link.
    seen: HashSet<(PathBuf, OsString)>,
    listing: Listing,
}

impl Walk {
    fn entries(&mut self, entries: Vec<DirEntry>) {
        for entry in entries {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.directory(&path),
                Ok(kind) if kind.is_symlink() => self.link(&path),
                Ok(kind) => self.file(&path, kind.is_file()),
                Err(error) => self.unreadable(&path, &error),
            }
        }
    }

    fn directory(&mut self, path: &Path) {
        if name::claims_sql(&file_name(path)) {
            self.problem(path, "this is a directory", "rename or remove it");
        }
        match sorted(path) {
            Ok(entries) => self.entries(entries),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn link(&mut self, path: &Path) {
        let (metadata, real) = match fs::metadata(path).and_then(|m| Ok((m, path.canonicalize()?)))
        {
            Ok(found) => found,
            // an editor's lock is a link to nowhere; a link without an ending may have been a directory
            Err(_) if path.extension().is_some() && !name::claims_sql(&file_name(path)) => return,
            Err(error) => return self.unreadable(path, &error),
        };
        if !metadata.is_dir() {
            return self.file(path, metadata.is_file());
        }
        let here = path.parent().and_then(|parent| parent.canonicalize().ok());
        if here.is_some_and(|here| here.starts_with(&real)) {
            self.problem(
                path,
                "this link leads back to a directory above it",
                "remove it",
            );
        } else if !real.starts_with(&self.root) {
            self.problem(
                path,
                "this link leads to a directory elsewhere, into which refinery does not follow it",
                "move the files here, or let migrations.path name that directory",
            );
        }
        // a link to a directory of this set hides nothing: its files are read where they lie
    }

    fn file(&mut self, path: &Path, is_regular: bool) {
        let file_name = file_name(path);
        if name::is_rust_migration(&file_name) {
            return self.problem(
                path,
                "a migration written in Rust, which fleet cannot run",
                "write it as SQL, or move it out of this directory if stock refinery still runs it",
            );
        }
        if !name::claims_sql(&file_name) {
            return;
        }
        if !is_regular {
            return self.problem(path, "this is not a regular file", "rename or remove it");
        }
        match name::parse(&file_name) {
            Ok(name) => {
                let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                if self.seen.insert((real, file_name.into())) {
                    self.listing.files.push(Named {
                        path: path.to_owned(),
                        name,
                    });
                }
            }
            Err(BadName { problem, hint }) => self.problem(path, &problem, &hint),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.problem(
            path,
            &format!("cannot be read: {error}"),
            "give fleet's user the right to read it, or remove it",
        );
    }

    fn problem(&mut self, path: &Path, problem: &str, hint: &str) {
        self.listing.problems.push(Problem {
            path: path.to_owned(),
            place: None,
            problem: problem.to_owned(),
            hint: hint.to_owned(),
        });
    }
}

/// Bytes that are not UTF-8 become a character that no migration's name may hold.
fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn sorted(directory: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}
