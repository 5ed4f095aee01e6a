//! What a statement means for the transaction around it. Read from its words, without a grammar.

use std::fmt;

use super::lexer::{Lexer, TokenKind};
use super::split::Statement;

/// What a statement means for the transaction around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Begins or ends a transaction. Savepoints do neither.
    TransactionControl(TransactionWord),
    /// The server refuses it inside a transaction; the text names the statement as the server does.
    OutsideTransaction(&'static str),
    /// Wants data from the client's input or writes to its output.
    CopyStdin,
    /// Everything else.
    Ordinary,
}

/// The statements that begin or end a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionWord {
    /// `BEGIN`
    Begin,
    /// `START TRANSACTION`
    StartTransaction,
    /// `COMMIT`
    Commit,
    /// `END`
    End,
    /// `ROLLBACK`
    Rollback,
    /// `ABORT`
    Abort,
    /// `PREPARE TRANSACTION`
    PrepareTransaction,
    /// `COMMIT PREPARED`
    CommitPrepared,
    /// `ROLLBACK PREPARED`
    RollbackPrepared,
}

impl fmt::Display for TransactionWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin => "BEGIN",
            Self::StartTransaction => "START TRANSACTION",
            Self::Commit => "COMMIT",
            Self::End => "END",
            Self::Rollback => "ROLLBACK",
            Self::Abort => "ABORT",
            Self::PrepareTransaction => "PREPARE TRANSACTION",
            Self::CommitPrepared => "COMMIT PREPARED",
            Self::RollbackPrepared => "ROLLBACK PREPARED",
        })
    }
}

/// What a statement is.
pub fn kind(statement: &Statement<'_>) -> StatementKind {
    let text = statement.text;
    if !may_be_special(text) {
        return StatementKind::Ordinary;
    }
    let words = words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(word) = transaction_word(&words) {
        return StatementKind::TransactionControl(word);
    }
    if copies(&words, &["FROM", "TO"]) {
        return StatementKind::CopyStdin;
    }
    outside(&words).map_or(StatementKind::Ordinary, StatementKind::OutsideTransaction)
}

/// Whether a statement makes, changes or fills relations and leaves nothing on its session. A trigger or
/// a function of the tenant's own may still do so.
pub(super) fn keeps_to_relations(statement: &Statement<'_>) -> bool {
    const FIRST: [&str; 11] = [
        "alter", "comment", "create", "delete", "drop", "grant", "insert", "refresh", "revoke",
        "truncate", "update",
    ];
    let first = first_word(statement.text);
    if !FIRST.iter().any(|word| first.eq_ignore_ascii_case(word)) {
        return false;
    }
    // CREATE OR REPLACE TEMP VIEW, CREATE LOCAL TEMPORARY TABLE
    let is_temporary = || {
        let head = statement.text.split_whitespace().take(5);
        head.map(str::to_ascii_uppercase)
            .any(|word| matches!(word.as_str(), "TEMP" | "TEMPORARY"))
    };
    !(first.eq_ignore_ascii_case("create") && is_temporary())
}

/// Whether `BEGIN` and its like carry nothing but noise words: an isolation level or `AND CHAIN`
/// would be lost with the statement.
pub(super) fn is_plain(statement: &Statement<'_>) -> bool {
    let words = words(statement.text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    matches!(
        words.as_slice(),
        [_] | [_, "WORK" | "TRANSACTION"]
            | [_, "AND", "NO", "CHAIN"]
            | [_, "WORK" | "TRANSACTION", "AND", "NO", "CHAIN"]
    )
}

/// Whether lines of data would follow in a script for psql.
pub(super) fn copies_from_stdin(text: &str) -> bool {
    if !first_word(text).eq_ignore_ascii_case("copy") {
        return false;
    }
    let words = words(text);
    copies(
        &words.iter().map(String::as_str).collect::<Vec<_>>(),
        &["FROM"],
    )
}

fn first_word(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    &text[..end]
}

/// Spares long statements, an INSERT of many rows, a second reading.
fn may_be_special(text: &str) -> bool {
    const FIRST: [&str; 15] = [
        "abort", "alter", "begin", "cluster", "commit", "copy", "create", "discard", "drop", "end",
        "prepare", "reindex", "rollback", "start", "vacuum",
    ];
    let first = first_word(text);
    FIRST.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// Every token that counts: bare words in capitals, the rest as it stands.
fn words(text: &str) -> Vec<String> {
    Lexer::new(text)
        .filter(|token| token.is_significant())
        .map(|token| {
            let raw = &text[token.start..token.end];
            match token.kind {
                TokenKind::Word => raw.to_ascii_uppercase(),
                TokenKind::DollarText => "$$".to_owned(),
                _ => raw.to_owned(),
            }
        })
        .collect()
}

fn transaction_word(words: &[&str]) -> Option<TransactionWord> {
    use TransactionWord as Word;
    Some(match words {
        ["BEGIN", ..] => Word::Begin,
        ["START", "TRANSACTION", ..] => Word::StartTransaction,
        ["COMMIT", "PREPARED", ..] => Word::CommitPrepared,
        ["COMMIT", ..] => Word::Commit,
        ["END", ..] => Word::End,
        ["ROLLBACK", "PREPARED", ..] => Word::RollbackPrepared,
        ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => return None,
        ["ROLLBACK", ..] => Word::Rollback,
        ["ABORT", ..] => Word::Abort,
        ["PREPARE", "TRANSACTION", ..] => Word::PrepareTransaction,
        _ => return None,
    })
}

/// `COPY … FROM STDIN`, found outside parentheses: a query in them may name anything.
fn copies(words: &[&str], directions: &[&str]) -> bool {
    if words.first() != Some(&"COPY") {
        return false;
    }
    let mut depth = 0_usize;
    words.windows(2).any(|pair| {
        match pair[0] {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && directions.contains(&pair[0]) && matches!(pair[1], "STDIN" | "STDOUT")
    })
}

/// The statements for which the server calls `PreventInTransactionBlock`, as far as the text tells.
fn outside(words: &[&str]) -> Option<&'static str> {
    Some(match words {
        ["CREATE", "INDEX", "CONCURRENTLY", ..]
        | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", ..] => "CREATE INDEX CONCURRENTLY",
        ["DROP", "INDEX", "CONCURRENTLY", ..] => "DROP INDEX CONCURRENTLY",
        ["REINDEX", rest @ ..] => return reindex(rest),
        ["VACUUM", ..] => "VACUUM",
        ["CREATE", "DATABASE", ..] => "CREATE DATABASE",
        ["DROP", "DATABASE", ..] => "DROP DATABASE",
        ["ALTER", "DATABASE", _, "SET", "TABLESPACE", ..] => "ALTER DATABASE SET TABLESPACE",
        ["CREATE", "TABLESPACE", ..] => "CREATE TABLESPACE",
        ["DROP", "TABLESPACE", ..] => "DROP TABLESPACE",
        ["ALTER", "SYSTEM", ..] => "ALTER SYSTEM",
        ["CREATE", "SUBSCRIPTION", ..] if makes_slot(words) => "CREATE SUBSCRIPTION",
        // whether it still has a slot only the server knows
        ["DROP", "SUBSCRIPTION", ..] => "DROP SUBSCRIPTION",
        ["ALTER", "SUBSCRIPTION", _, rest @ ..] => return alter_subscription(rest),
        ["CLUSTER"] | ["CLUSTER", "VERBOSE"] | ["CLUSTER", "(", .., ")"] => "CLUSTER of all tables",
        ["ALTER", "TABLE", .., "CONCURRENTLY"]
            if words.windows(2).any(|pair| pair == ["DETACH", "PARTITION"]) =>
        {
            "ALTER TABLE ... DETACH PARTITION CONCURRENTLY"
        }
        ["DISCARD", "ALL"] => "DISCARD ALL",
        _ => return None,
    })
}

/// The words behind REINDEX, with or without options in parentheses.
fn reindex(words: &[&str]) -> Option<&'static str> {
    let options_end = match words {
        ["(", ..] => words.iter().position(|&word| word == ")").unwrap_or(0),
        _ => 0,
    };
    let concurrently = words[..options_end]
        .windows(2)
        .any(|pair| pair[0] == "CONCURRENTLY" && !is_off(pair[1]))
        || (options_end > 0 && words[options_end - 1] == "CONCURRENTLY");
    let object = words
        .iter()
        .skip(if options_end > 0 { options_end + 1 } else { 0 });
    match object.copied().take(2).collect::<Vec<_>>().as_slice() {
        [_, "CONCURRENTLY"] => Some("REINDEX CONCURRENTLY"),
        [_, ..] if concurrently => Some("REINDEX CONCURRENTLY"),
        ["DATABASE", ..] => Some("REINDEX DATABASE"),
        ["SYSTEM", ..] => Some("REINDEX SYSTEM"),
        ["SCHEMA", ..] => Some("REINDEX SCHEMA"),
        _ => None,
    }
}

/// A subscription without a slot of its own may be made in a transaction.
fn makes_slot(words: &[&str]) -> bool {
    !option_is_off(words, "CREATE_SLOT") && !option_is_off(words, "CONNECT")
}

fn alter_subscription(words: &[&str]) -> Option<&'static str> {
    match words {
        ["REFRESH", ..] => Some("ALTER SUBSCRIPTION ... REFRESH"),
        ["SET" | "ADD" | "DROP", "PUBLICATION", ..] if !option_is_off(words, "REFRESH") => {
            Some("ALTER SUBSCRIPTION with refresh")
        }
        ["SET", "(", options @ ..]
            if options
                .iter()
                .any(|&word| matches!(word, "FAILOVER" | "TWO_PHASE")) =>
        {
            Some("ALTER SUBSCRIPTION ... SET (failover, two_phase)")
        }
        _ => None,
    }
}

fn option_is_off(words: &[&str], option: &str) -> bool {
    words
        .windows(3)
        .any(|three| three[0] == option && three[1] == "=" && is_off(three[2]))
}

fn is_off(value: &str) -> bool {
    ["false", "off", "0"]
        .iter()
        .any(|off| value.trim_matches('\'').eq_ignore_ascii_case(off))
}

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
