//! The tree of a file, walked: names, statements, the bodies of blocks and functions, look-ups in the catalogue, and
//! what becomes of its tables. Trees are squawk's; no other folder of fleet knows them.

mod bodies;
mod catalog;
mod literals;
mod names;
mod statements;
mod tables;
mod text;

use std::ops::Range;

use squawk_syntax::ast::AstNode;
use squawk_syntax::{SourceFile, SyntaxNode};

pub(super) use tables::{Change, TableChange};

use super::finding::Found;

/// What a file says.
pub(super) struct Reading {
    /// What rules are about.
    pub(super) found: Vec<Found>,
    /// What it does to tables.
    pub(super) tables: Vec<TableChange>,
}

/// Reads a file. What its grammar does not know is a note and the rest is read all the same.
pub(super) fn read(text: &str, shared: &[String]) -> Reading {
    let parse = SourceFile::parse(text);
    let root = parse.tree().syntax().clone();
    let mut walk = Walk {
        shared,
        found: Vec::new(),
    };
    let errors = parse.errors();
    if let Some(first) = errors.first() {
        let range: Range<usize> = first.range().into();
        let message = format!("the linter does not understand this: {}", first.message());
        walk.found.push(Found::new("unparsed", range, message));
    }
    walk.tree(&root, Scope::Migration, &|range| range);
    Reading {
        found: walk.found,
        tables: tables::changes(&root),
    }
}

/// When a piece of SQL runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// With the migration, as a statement of it.
    Migration,
    /// With the migration, in a `DO` block.
    Block,
    /// When somebody calls the function.
    Function,
}

/// From a place in a body to its place in the file.
type Mapping<'a> = dyn Fn(Range<usize>) -> Range<usize> + 'a;

/// Collects what is found.
struct Walk<'a> {
    shared: &'a [String],
    found: Vec<Found>,
}

impl Walk<'_> {
    fn tree(&mut self, root: &SyntaxNode, scope: Scope, map: &Mapping<'_>) {
        for node in root.descendants() {
            let from = self.found.len();
            names::look(self, &node, scope);
            statements::look(self, &node, scope);
            literals::look(self, &node);
            catalog::look(self, &node, scope);
            for found in &mut self.found[from..] {
                found.range = map(found.range.clone());
            }
            bodies::look(self, &node, map);
        }
    }

    fn add(&mut self, found: Found) {
        self.found.push(found);
    }

    /// Whose a schema is.
    fn home(&self, schema: &str) -> Home {
        match schema {
            "pg_temp" => Home::Session,
            "pg_catalog" | "information_schema" | "pg_toast" => Home::System,
            _ if self.shared.iter().any(|shared| shared == schema) => Home::Shared,
            _ => Home::Elsewhere,
        }
    }
}

/// Whose a schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    /// This session's.
    Session,
    /// PostgreSQL's.
    System,
    /// Behind every tenant's own in the search path.
    Shared,
    /// Anybody else's.
    Elsewhere,
}
