//! Looks at a transaction between the statements of its files: which locks it has by then, and what time it is.
//!
//! They travel in the same message as the files, so that they cost no round trip, and that the server
//! itself says how long each statement took. The message's places are those without them.

use tokio_postgres::SimpleQueryMessage;

use super::message::{Envelope, Message, Piece};
use crate::migration::Place;
use crate::run::LockMode;

/// The first oid that is not PostgreSQL's own: locks on its catalogue are nobody's matter.
const FIRST_OWN_OID: u32 = 16384;

/// In SQL: the time of the server, in microseconds.
pub(super) const CLOCK: &str =
    "(pg_catalog.date_part('epoch',pg_catalog.clock_timestamp())*1000000)::pg_catalog.int8";

/// How many looks a file gets at most: one of 10,000 statements would be mostly looks.
const MOST: usize = 200;

/// Where in a message looks stand.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How many characters each has.
    characters: usize,
    /// In the message without them: how many characters and statements come before each, ascending.
    places: Vec<(usize, usize)>,
}

impl Looks {
    /// The number that a statement has in the message without looks.
    pub(super) fn statement_without(&self, statement: usize) -> usize {
        let before = |(look, (_, own)): &(usize, &(usize, usize))| own + look < statement;
        statement - self.places.iter().enumerate().take_while(before).count()
    }

    /// The number, from 1, that a character has in the message without looks.
    pub(super) fn character_without(&self, character: usize) -> usize {
        let mut without = character;
        for (look, (own, _)) in self.places.iter().enumerate() {
            let begin = own + look * self.characters;
            if begin >= character {
                break;
            }
            without -= self.characters.min(character - begin);
        }
        without
    }
}

/// What one look has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it began, by the server's clock.
    pub(super) from_us: i64,
    /// The locks of the transaction on relations.
    pub(super) locks: Vec<(u32, LockMode)>,
    /// When it was over.
    pub(super) to_us: i64,
}

impl Envelope {
    /// One statement that looks. Its first column is nothing that a file can guess.
    pub(super) fn look(&self) -> String {
        self.look_since(CLOCK)
    }

    /// The same at the end of something that is no more of the file's time than a look itself, and has begun then.
    pub(super) fn look_since(&self, begun: &str) -> String {
        format!(
            "SELECT '{:x}',{begun},(SELECT pg_catalog.string_agg(l.relation::pg_catalog.text||' '||l.mode,',') \
             FROM pg_catalog.pg_locks l WHERE l.pid=pg_catalog.pg_backend_pid() AND l.locktype='relation' \
             AND l.granted AND l.relation>={FIRST_OWN_OID}),{CLOCK}",
            self.nonce
        )
    }

    /// What a look has seen, where an answer is one of a look.
    pub(super) fn seen(&self, answer: &SimpleQueryMessage) -> Option<Seen> {
        let SimpleQueryMessage::Row(row) = answer else {
            return None;
        };
        if row.len() != 4 || row.get(0)? != format!("{:x}", self.nonce) {
            return None;
        }
        let locks = row.get(2).unwrap_or_default();
        Some(Seen {
            from_us: row.get(1)?.parse().ok()?,
            locks: locks.split(',').filter_map(lock).collect(),
            to_us: row.get(3)?.parse().ok()?,
        })
    }
}

fn lock(text: &str) -> Option<(u32, LockMode)> {
    let (relation, mode) = text.split_once(' ')?;
    Some((relation.parse().ok()?, LockMode::parse(mode)?))
}

impl Message {
    /// The same with a look in front of each statement of its files but the first, or of every so-manieth.
    pub(super) fn with_looks(self, pieces: &[Piece], look: &str) -> Self {
        let look = format!("{look};");
        let mut places = Vec::new();
        for (file, piece) in self.files.iter().zip(pieces) {
            let starts = characters_before(piece.body(), piece.statements());
            let every = starts.len().div_ceil(MOST).max(1);
            let behind_first = starts.into_iter().enumerate().step_by(every).skip(1);
            places.extend(behind_first.map(|(statement, start)| {
                (
                    file.characters_before + start,
                    file.statements_before + statement,
                )
            }));
        }
        let mut text = String::with_capacity(self.text.len() + places.len() * look.len());
        let mut next = places.iter().map(|(character, _)| *character).peekable();
        for (character, c) in self.text.chars().enumerate() {
            while next.next_if_eq(&character).is_some() {
                text.push_str(&look);
            }
            text.push(c);
        }
        Self {
            text,
            files: self.files,
            looks: Looks {
                characters: look.chars().count(),
                places,
            },
        }
    }
}

/// How many characters of a body come before each of these places, which are in its order.
fn characters_before(body: &str, places: &[Place]) -> Vec<usize> {
    let mut places = places.iter().peekable();
    let mut found = Vec::with_capacity(places.len());
    let mut here = Place { line: 1, column: 1 };
    for (number, c) in body.chars().enumerate() {
        if places.next_if(|place| **place == here).is_some() {
            found.push(number);
        }
        if c == '\n' {
            here.line += 1;
            here.column = 1;
        } else {
            here.column += 1;
        }
    }
    found
}

/// How long a transaction's statements have taken, and since when it has had which lock.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Time of statements so far, that of looks left out.
    run_us: i64,
    last: Option<i64>,
    /// In which migration (by its number) and at what time each lock was first seen. It was taken by the
    /// statement before that look, and is counted from that statement's begin.
    taken: Vec<Taken>,
}

/// A lock, with the time since which it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The relation.
    pub(super) relation: u32,
    /// How it is locked.
    pub(super) mode: LockMode,
    /// The migration that has taken it, by its number in the transaction.
    pub(super) migration: usize,
    /// When, in the time of the course.
    pub(super) at_us: i64,
}

impl Course {
    /// Takes what was seen while a migration ran.
    pub(super) fn follow(&mut self, migration: usize, seen: &[Seen]) {
        for seen in seen {
            let begun_us = self.run_us;
            if let Some(last) = self.last {
                // a clock that was set back must not make locks older than they are
                self.run_us += (seen.from_us - last).max(0);
            }
            self.last = Some(seen.to_us);
            for (relation, mode) in &seen.locks {
                let is_known = |taken: &Taken| (taken.relation, taken.mode) == (*relation, *mode);
                if !self.taken.iter().any(is_known) {
                    self.taken.push(Taken {
                        relation: *relation,
                        mode: *mode,
                        migration,
                        at_us: begun_us,
                    });
                }
            }
        }
    }

    /// Time between two messages is nobody's.
    pub(super) fn pause(&mut self) {
        self.last = None;
    }

    /// The time of the course by now.
    pub(super) fn now_us(&self) -> i64 {
        self.run_us
    }

    /// Every lock that was seen.
    pub(super) fn taken(&self) -> &[Taken] {
        &self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Migration, SessionUse, TransactionMode};
    use crate::migrator::message::{ExpectedHead, Part, Setup};
    use crate::plan::VersionColumn;
    use crate::sql;
    use crate::tenant::SchemaName;

    fn migration(sql: &str) -> Migration {
        Migration {
            refinery: refinery_core::Migration::unapplied("V1__a", sql).unwrap(),
            path: "V1__a.sql".into(),
            body: sql.into(),
            mode: TransactionMode::Transactional,
            statements: sql::split(sql).iter().map(|s| s.place).collect(),
            steps: std::sync::Arc::default(),
            session: SessionUse::None,
            out_of_order: false,
        }
    }

    fn message(migration: &Migration, look: &str) -> (Message, Message) {
        let envelope = Envelope {
            schema: SchemaName::parse("t").unwrap(),
            role: None,
            shared: Vec::new(),
            history_table: "h".into(),
            setup: Setup::None,
            column: VersionColumn::Int4,
            lock_timeout_ms: 1,
            statement_timeout_ms: 1,
            settings: Vec::new(),
            checks_leaks: false,
            nonce: 7,
        };
        let pieces = &[Piece::Migration(migration)];
        let plain = || envelope.message(pieces, ExpectedHead(None), "now");
        (plain(), plain().with_looks(pieces, look))
    }

    #[test]
    fn a_look_stands_between_statements_and_changes_no_place() {
        let sql = "/* é */ one;\n-- two follows\ntwo 'a;b'; three\n-- end";
        let migration = migration(sql);
        let (plain, looked) = message(&migration, "LOOK");
        assert!(
            looked
                .text
                .contains("/* é */ one;\n-- two follows\nLOOK;two 'a;b'; LOOK;three\n-- end")
        );
        let prefix = plain.files[0].statements_before;
        // the file's statements are 0, (look) 1, 2, (look) 3, 4
        let parts: Vec<Part> = (0..6).map(|n| looked.part(prefix + n)).collect();
        assert_eq!(
            parts,
            [
                Part::File(0, 0),
                Part::File(0, 1),
                Part::File(0, 1),
                Part::File(0, 2),
                Part::File(0, 2),
                Part::HistoryRow(0)
            ]
        );
        for word in ["one", "two", "three", "end", "INSERT", "COMMIT"] {
            let at = |text: &str| text.split(word).next().unwrap().chars().count() + 1;
            // the comment has the word "two" as well, in both
            assert_eq!(
                plain.file_at(at(&plain.text)),
                looked.file_at(at(&looked.text)),
                "{word}"
            );
        }
    }

    #[test]
    fn a_lock_counts_from_the_begin_of_the_statement_that_took_it() {
        let seen = |from_us, locks: &[(u32, LockMode)]| Seen {
            from_us,
            locks: locks.to_vec(),
            to_us: from_us + 5,
        };
        let weak = (1, LockMode::RowExclusive);
        let strong = (2, LockMode::AccessExclusive);
        let mut course = Course::default();
        course.follow(
            0,
            &[
                seen(100, &[]),
                seen(205, &[weak]),
                seen(240, &[weak, strong]),
            ],
        );
        course.pause();
        course.follow(1, &[seen(900, &[weak, strong]), seen(915, &[weak, strong])]);
        assert_eq!(course.now_us(), 100 + 30 + 10);
        let taken: Vec<_> = course
            .taken()
            .iter()
            .map(|taken| (taken.relation, taken.migration, taken.at_us))
            .collect();
        assert_eq!(taken, [(1, 0, 0), (2, 0, 100)]);
    }
}
