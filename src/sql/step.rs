//! How each statement of a file without a transaction is run, and how it is settled when its end is
//! not known. Read from its words, as the kinds are: what is not recognised is left to a person.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::kind::{StatementKind, kind};
use super::lexer::{Lexer, Token, TokenKind};
use super::split::Statement;
use crate::migration::{IndexBuild, ObjectName, Settlement, Step, StepKind};

/// `NAMEDATALEN - 1`, in bytes.
const LONGEST_NAME: usize = 63;

/// A statement as a step.
pub(super) fn step(statement: &Statement<'_>) -> Step {
    Step {
        text: statement.text.into(),
        place: statement.place,
        hash: hash(statement.text),
        kind: step_kind(statement),
    }
}

/// What tells two texts of a step apart: 32 hexadecimal digits.
fn hash(text: &str) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    format!("{:032x}", hasher.finish128().as_u128())
}

fn step_kind(statement: &Statement<'_>) -> StepKind {
    if let StatementKind::OutsideTransaction(_) = kind(statement) {
        return StepKind::Outside(settlement(statement.text));
    }
    let mut words = Words::of(statement.text);
    match words.next_word().as_deref() {
        Some("SET") if words.peek_is("LOCAL") => StepKind::Atomic,
        Some("SET" | "RESET" | "LOAD" | "LISTEN" | "UNLISTEN" | "PREPARE" | "DEALLOCATE") => {
            StepKind::Session
        }
        // a procedure may commit in its midst, and only the server can tell
        Some("CALL") => StepKind::Outside(Settlement::ByHand),
        Some("DO") if may_commit(statement.text) => StepKind::Outside(Settlement::ByHand),
        _ => StepKind::Atomic,
    }
}

/// Whether the body of a `DO` holds a word that ends a transaction, or calls what may.
fn may_commit(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .any(|word| {
            ["commit", "rollback", "call"]
                .iter()
                .any(|ends| word.eq_ignore_ascii_case(ends))
        })
}

/// How to find out what became of a statement; also used on texts that were noted by an earlier run.
pub fn settlement(text: &str) -> Settlement {
    let mut words = Words::of(text);
    let first = words.next_word();
    let settled = match first.as_deref() {
        Some("CREATE") => create(&mut words).map(Settlement::IndexBuilt),
        Some("DROP") => drop_index(&mut words).map(Settlement::IndexDropped),
        Some("REINDEX") if mentions_concurrently(text) => Some(Settlement::Reindexed),
        Some("ALTER") => detach(&mut words).or_else(|| alter_again(text)),
        Some("REINDEX" | "VACUUM" | "CLUSTER" | "DISCARD" | "ANALYZE") => {
            Some(Settlement::RunAgain)
        }
        _ => None,
    };
    settled.unwrap_or(Settlement::ByHand)
}

fn mentions_concurrently(text: &str) -> bool {
    let mut words = Words::of(text);
    while let Some(token) = words.next_token() {
        if words.is(token, "CONCURRENTLY") {
            return true;
        }
    }
    false
}

/// `ALTER SYSTEM …`, `ALTER DATABASE … SET TABLESPACE …`, `ALTER SUBSCRIPTION …` say what is to be.
fn alter_again(text: &str) -> Option<Settlement> {
    let mut words = Words::of(text);
    words.next_word()?;
    let object = words.next_word()?;
    matches!(object.as_str(), "SYSTEM" | "DATABASE" | "SUBSCRIPTION")
        .then_some(Settlement::RunAgain)
}

/// Behind `CREATE`: `[UNIQUE] INDEX CONCURRENTLY [[IF NOT EXISTS] name] ON [ONLY] table …`.
fn create(words: &mut Words<'_>) -> Option<IndexBuild> {
    words.take("UNIQUE");
    let head_ends = words.take("INDEX")?.end;
    let concurrently = words.take("CONCURRENTLY")?;
    let mut cut_until = concurrently.end;
    if words.take("IF").is_some() {
        words.take("NOT")?;
        cut_until = words.take("EXISTS")?.end;
    }
    let name = if words.take("ON").is_some() {
        None
    } else {
        let name = words.name()?;
        words.take("ON")?;
        Some(name)
    };
    words.take("ONLY");
    let table = words.object_name()?;
    let text = words.text;
    Some(IndexBuild {
        name,
        table,
        plain: format!("{}{}", &text[..head_ends], &text[cut_until..]),
    })
}

/// Behind `DROP`: `INDEX CONCURRENTLY [IF EXISTS] name`; the server takes one name only.
fn drop_index(words: &mut Words<'_>) -> Option<ObjectName> {
    words.take("INDEX")?;
    words.take("CONCURRENTLY")?;
    if words.take("IF").is_some() {
        words.take("EXISTS")?;
    }
    words.object_name()
}

/// Behind `ALTER`: `TABLE [IF EXISTS] [ONLY] parent [*] DETACH PARTITION partition CONCURRENTLY`.
fn detach(words: &mut Words<'_>) -> Option<Settlement> {
    words.take("TABLE")?;
    if words.take("IF").is_some() {
        words.take("EXISTS")?;
    }
    words.take("ONLY");
    let parent = words.object_name()?;
    words.take_symbol("*");
    words.take("DETACH")?;
    words.take("PARTITION")?;
    let partition = words.object_name()?;
    words.take("CONCURRENTLY")?;
    Some(Settlement::PartitionDetached { parent, partition })
}

/// The tokens of a statement that the server sees, read one after the other.
struct Words<'a> {
    text: &'a str,
    tokens: std::iter::Peekable<Lexer<'a>>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            tokens: Lexer::new(text).peekable(),
        }
    }

    fn peek(&mut self) -> Option<Token> {
        while self
            .tokens
            .next_if(|token| !token.is_significant())
            .is_some()
        {}
        self.tokens.peek().copied()
    }

    fn next_token(&mut self) -> Option<Token> {
        self.peek()?;
        self.tokens.next()
    }

    fn raw(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    fn is(&self, token: Token, word: &str) -> bool {
        token.kind == TokenKind::Word && self.raw(token).eq_ignore_ascii_case(word)
    }

    fn peek_is(&mut self, word: &str) -> bool {
        self.peek().is_some_and(|token| self.is(token, word))
    }

    /// The next token where it is this keyword.
    fn take(&mut self, word: &str) -> Option<Token> {
        if self.peek_is(word) {
            self.tokens.next()
        } else {
            None
        }
    }

    fn take_symbol(&mut self, symbol: &str) -> Option<Token> {
        let token = self.peek()?;
        if self.raw(token) == symbol {
            self.tokens.next()
        } else {
            None
        }
    }

    /// The next token in capitals, where it is a bare word.
    fn next_word(&mut self) -> Option<String> {
        let token = self.next_token()?;
        (token.kind == TokenKind::Word).then(|| self.raw(token).to_ascii_uppercase())
    }

    /// An identifier as the server would store it: a bare one in small letters, a quoted one to the letter.
    fn name(&mut self) -> Option<String> {
        let token = self.next_token()?;
        let raw = self.raw(token);
        match token.kind {
            TokenKind::Word => Some(cut(&raw.to_ascii_lowercase())),
            TokenKind::QuotedName => {
                let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
                Some(cut(&inner.replace("\"\"", "\"")))
            }
            _ => None,
        }
    }

    /// `name` or `schema.name`.
    fn object_name(&mut self) -> Option<ObjectName> {
        let first = self.name()?;
        if self.take_symbol(".").is_none() {
            return Some(ObjectName {
                schema: None,
                name: first,
            });
        }
        let name = self.name()?;
        // database.schema.name says nothing that the server would take
        self.take_symbol(".").is_none().then_some(ObjectName {
            schema: Some(first),
            name,
        })
    }
}

/// The server cuts names that are too long, with a notice.
fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(LONGEST_NAME)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn kind_of(text: &str) -> StepKind {
        let statements = split(text);
        assert_eq!(statements.len(), 1, "{text}");
        step_kind(&statements[0])
    }

    fn bare(name: &str) -> ObjectName {
        ObjectName {
            schema: None,
            name: name.to_owned(),
        }
    }

    fn build(text: &str) -> IndexBuild {
        match settlement(text) {
            Settlement::IndexBuilt(build) => build,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_index_build_names_index_and_table() {
        let build_ = build(
            "CREATE UNIQUE INDEX /* x */ CONCURRENTLY IF NOT EXISTS \"I\"\"x\" ON ONLY T (lower(a)) WHERE b > 0",
        );
        assert_eq!(build_.name.as_deref(), Some("I\"x"));
        assert_eq!(build_.table, bare("t"));
        assert_eq!(
            build_.plain,
            "CREATE UNIQUE INDEX \"I\"\"x\" ON ONLY T (lower(a)) WHERE b > 0"
        );

        let nameless = build("create index concurrently on s.\"T\" using gin (a)");
        assert_eq!(nameless.name, None);
        assert_eq!(
            nameless.table,
            ObjectName {
                schema: Some("s".into()),
                name: "T".into()
            }
        );
        assert_eq!(nameless.plain, "create index on s.\"T\" using gin (a)");

        let named_on = build("create index concurrently \"on\" on t (a)");
        assert_eq!(named_on.name.as_deref(), Some("on"));
    }

    #[test]
    fn a_name_is_cut_where_the_server_cuts_it() {
        let long = "é".repeat(40);
        let cut = build(&format!("create index concurrently \"{long}\" on t (a)"));
        assert_eq!(cut.name, Some("é".repeat(31)));
    }

    #[test]
    fn what_waits_for_others_is_settled_by_the_catalogue() {
        assert_eq!(
            settlement("drop index concurrently if exists a.\"B\" restrict"),
            Settlement::IndexDropped(ObjectName {
                schema: Some("a".into()),
                name: "B".into()
            })
        );
        for text in [
            "reindex table concurrently t",
            "reindex (verbose, concurrently) index i",
            "reindex schema concurrently s",
        ] {
            assert_eq!(settlement(text), Settlement::Reindexed, "{text}");
        }
        assert_eq!(
            settlement("alter table if exists only p detach partition c concurrently"),
            Settlement::PartitionDetached {
                parent: bare("p"),
                partition: bare("c")
            }
        );
    }

    #[test]
    fn what_may_run_again_and_what_may_not() {
        for text in [
            "vacuum (analyze) t",
            "cluster",
            "reindex database d",
            "alter system set a = 1",
            "alter subscription s refresh publication",
            "discard all",
        ] {
            assert_eq!(settlement(text), Settlement::RunAgain, "{text}");
        }
        for text in [
            "create database d",
            "drop subscription s",
            "create tablespace x location '/x'",
            "call p()",
        ] {
            assert_eq!(settlement(text), Settlement::ByHand, "{text}");
        }
    }

    #[test]
    fn the_rest_runs_in_a_transaction_with_its_note() {
        for text in [
            "alter type mood add value 'glad'",
            "insert into t select 1",
            "do $$ begin perform 1; end $$",
            "set local x = 1",
            "create index i on t (a)",
            "refresh materialized view concurrently v",
        ] {
            assert_eq!(kind_of(text), StepKind::Atomic, "{text}");
        }
        for text in [
            "set x = 1",
            "RESET ALL",
            "set session x to 1",
            "load 'auto_explain'",
        ] {
            assert_eq!(kind_of(text), StepKind::Session, "{text}");
        }
        for text in [
            "call p()",
            "do $$ begin loop commit; end loop; end $$",
            "do 'begin call p(); end'",
        ] {
            assert_eq!(
                kind_of(text),
                StepKind::Outside(Settlement::ByHand),
                "{text}"
            );
        }
    }

    #[test]
    fn a_hash_is_of_the_text_without_what_is_around_it() {
        let step_of = |text: &str| step(&split(text)[0]).hash;
        assert_eq!(step_of("  vacuum t ; -- x"), step_of("vacuum t"));
        assert_ne!(step_of("vacuum t"), step_of("vacuum  t"));
    }
}
