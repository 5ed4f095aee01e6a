//! Marks: comments that tell fleet how to run a file.

use super::lexer::TokenKind;

/// What a comment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Statement by statement, outside a transaction.
    NoTransaction,
    /// An exception for the lint, which reads it itself.
    Allow,
    /// Begins like a mark and is none: a typo must not look like success.
    Unknown,
}

/// Reads a comment; None for an ordinary one.
///
/// The two spellings with `refinery` exist in forks of refinery that know such files.
pub(super) fn mark(kind: TokenKind, comment: &str) -> Option<Mark> {
    let text = said(kind, comment)?.to_ascii_lowercase();
    if let Some(rest) = after_name(&text, "fleet") {
        return Some(if means_no_transaction(rest) {
            Mark::NoTransaction
        } else if rest == "allow" || rest.starts_with("allow ") || rest.starts_with("allow(") {
            Mark::Allow
        } else {
            Mark::Unknown
        });
    }
    if let Some(rest) = after_name(&text, "refinery") {
        // prose may begin like this; only the exact word is a mark
        return means_no_transaction(rest).then_some(Mark::NoTransaction);
    }
    let rest = text.strip_prefix("+refinery")?;
    Some(if means_no_transaction(rest) {
        Mark::NoTransaction
    } else {
        Mark::Unknown
    })
}

/// The rule and the reason of a mark that makes an exception for the lint; empty where they are missing.
pub(super) fn allowed(kind: TokenKind, comment: &str) -> Option<(String, String)> {
    let text = said(kind, comment)?;
    if mark(kind, comment) != Some(Mark::Allow) {
        return None;
    }
    let behind = text.split_once(':')?.1.trim_start();
    let rest = behind.get("allow".len()..)?.trim_start();
    let (rule, reason) = match rest.strip_prefix('(') {
        Some(inside) => inside.split_once(')').unwrap_or((inside, "")),
        None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
    };
    let reason = reason.trim().trim_start_matches([':', '-', '–', '—']);
    Some((
        rule.trim().trim_end_matches(':').to_owned(),
        reason.trim().to_owned(),
    ))
}

/// A comment's words.
fn said(kind: TokenKind, comment: &str) -> Option<&str> {
    let text = match kind {
        TokenKind::LineComment => comment.trim_start_matches('-'),
        TokenKind::BlockComment => comment.trim_start_matches("/*").trim_end_matches("*/"),
        _ => return None,
    };
    Some(text.trim())
}

/// What follows `name:`.
fn after_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(name)?.trim_start();
    rest.strip_prefix(':').map(str::trim_start)
}

fn means_no_transaction(text: &str) -> bool {
    let letters = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_'));
    letters.eq("notransaction".chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_a_mark() {
        for (comment, expected) in [
            ("-- fleet: no-transaction", Some(Mark::NoTransaction)),
            ("--fleet :  No-Transaction \r", Some(Mark::NoTransaction)),
            ("-- fleet:no_transaction", Some(Mark::NoTransaction)),
            ("-- +refinery NO TRANSACTION", Some(Mark::NoTransaction)),
            ("-- refinery:noTransaction", Some(Mark::NoTransaction)),
            ("-- fleet: allow drop-column", Some(Mark::Allow)),
            ("-- fleet: no-transactions", Some(Mark::Unknown)),
            ("-- fleet: allowed", Some(Mark::Unknown)),
            ("-- fleet:", Some(Mark::Unknown)),
            ("-- +refinery NO TX", Some(Mark::Unknown)),
            ("-- refinery: crude oil", None),
            ("-- the fleet: no-transaction", None),
            ("-- fleet of cars", None),
        ] {
            assert_eq!(mark(TokenKind::LineComment, comment), expected, "{comment}");
        }
        assert_eq!(
            mark(TokenKind::BlockComment, "/* fleet: no-transaction */"),
            Some(Mark::NoTransaction)
        );
    }
}
