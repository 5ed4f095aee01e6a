//! What a message is made of, and which part of it a statement or a character belongs to.

use crate::migrator::looks::Looks;

/// What stands around the files of a message.
pub(in crate::migrator) struct Frame {
    /// Statements before the first.
    pub(in crate::migrator) before: Vec<String>,
    /// What comes behind all that belongs to the last one, with semicolons between its statements.
    pub(in crate::migrator) after: String,
    /// What becomes of the things that COMMIT would do by itself.
    pub(in crate::migrator) deferred: Deferred,
}

/// What COMMIT would do by itself: check deferred constraints, fire deferred triggers. Behind it nothing can be
/// proven any more, so it comes before the proof of the last file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migrator) enum Deferred {
    /// It is done behind the last file where that is proven, else by COMMIT.
    ForProof,
    /// It is done behind the last file.
    Done,
    /// It is left: other files follow in the same transaction.
    Left,
    /// It is left to a message of its own, and so is the proof behind it.
    Apart,
}

/// What comes of itself at COMMIT: deferred constraints and triggers.
const AS_AT_COMMIT: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// A message and where in it the files lie.
#[derive(Debug)]
pub(in crate::migrator) struct Message {
    /// What is sent.
    pub(in crate::migrator) text: String,
    /// Characters and statements, by file.
    pub(in crate::migrator) files: Vec<FilePlace>,
    /// What stands between the statements of the files without being theirs. The places of the files are
    /// those without it.
    pub(in crate::migrator) looks: Looks,
}

/// Where one file lies in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migrator) struct FilePlace {
    /// Characters in front of it. PostgreSQL counts positions in characters.
    pub(in crate::migrator) characters_before: usize,
    /// Characters of the file.
    pub(in crate::migrator) characters: usize,
    /// Statements in front of it.
    pub(in crate::migrator) statements_before: usize,
    /// So many of these, the last ones, look at how everything is before it.
    pub(in crate::migrator) looks_before: usize,
    /// Statements of the file.
    pub(in crate::migrator) statements: usize,
    /// Behind them: one that records it.
    pub(in crate::migrator) records: usize,
    /// Behind that: statements that do what COMMIT would do by itself.
    pub(in crate::migrator) deferred: usize,
    /// Behind those: statements that look at what it has done.
    pub(in crate::migrator) checks: usize,
}

/// Where in a message the statement with a given index lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migrator) enum Part {
    /// BEGIN, settings, lock.
    Prefix,
    /// A statement (from 0) of a file (from 0).
    File(usize, usize),
    /// Guard and history row behind a file.
    HistoryRow(usize),
    /// What COMMIT would do by itself, and is done before.
    Deferred,
    /// A look at what a file has done.
    Check(usize),
    /// COMMIT.
    Commit,
}

impl Frame {
    /// What stands behind a file's record: what COMMIT would do, and the proof.
    pub(super) fn behind(&self, checks: Vec<String>, is_last: bool) -> (Vec<String>, Vec<String>) {
        let is_done = match self.deferred {
            Deferred::ForProof => !checks.is_empty(),
            Deferred::Done => true,
            Deferred::Left => false,
            Deferred::Apart => return (Vec::new(), Vec::new()),
        };
        let done = (is_last && is_done).then(|| AS_AT_COMMIT.to_owned());
        (done.into_iter().collect(), checks)
    }
}

impl Message {
    /// What looks at what a file has done, by itself. It is about the only piece that it is sent for.
    pub(in crate::migrator) fn proof(checks: &[String]) -> Self {
        Self {
            text: checks.join(";"),
            files: vec![FilePlace {
                characters_before: 0,
                characters: 0,
                statements_before: 0,
                looks_before: 0,
                statements: 0,
                records: 0,
                deferred: 0,
                checks: checks.len(),
            }],
            looks: Looks::default(),
        }
    }

    /// Which part of the message a statement belongs to, counted from 0.
    pub(in crate::migrator) fn part(&self, statement: usize) -> Part {
        let statement = self.looks.statement_without(statement);
        for (index, file) in self.files.iter().enumerate() {
            if statement < file.statements_before {
                return Part::Prefix;
            }
            let within = statement - file.statements_before;
            if within < file.statements {
                return Part::File(index, within);
            }
            match within - file.statements {
                0 if file.records > 0 => return Part::HistoryRow(index),
                behind if behind < file.records + file.deferred => return Part::Deferred,
                behind if behind < file.records + file.deferred + file.checks => {
                    return Part::Check(index);
                }
                _ => {}
            }
        }
        Part::Commit
    }

    /// Whether a statement looks at how everything is before a file.
    pub(in crate::migrator) fn looks_ahead(&self, statement: usize) -> bool {
        let statement = self.looks.statement_without(statement);
        self.files.iter().any(|file| {
            let looks = file.statements_before - file.looks_before..file.statements_before;
            looks.contains(&statement)
        })
    }

    /// Which file holds a character of the message (from 1, as PostgreSQL counts), and which of its
    /// characters (from 1) that is.
    pub(in crate::migrator) fn file_at(&self, character: usize) -> Option<(usize, usize)> {
        let character = self.looks.character_without(character);
        self.files.iter().enumerate().find_map(|(index, file)| {
            let within = character.checked_sub(file.characters_before)?;
            (1..=file.characters)
                .contains(&within)
                .then_some((index, within))
        })
    }
}
