//! Marks that let a statement do what a rule of the lint forbids: `-- fleet: allow RULE reason`.

use super::lexer::{Lexer, TokenKind};
use super::mark::allowed;
use super::place::place_at;
use super::split::{BYTE_ORDER_MARK, Layout, layout};
use crate::migration::Place;

/// What stands for a rule where a file may reach outside of its tenant when it is run: the leak check lets it pass.
pub const LEAK: &str = "leak";

/// An exception that somebody has written into a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// The rule's name as it is written; empty where there is none.
    pub rule: String,
    /// Why; empty where nothing is said.
    pub reason: String,
    /// The mark's first character, in bytes.
    pub offset: usize,
    /// Where the mark stands.
    pub place: Place,
    /// The statement that it is about, counted from 0 as [`super::split`] gives them. None where no statement
    /// follows.
    pub statement: Option<usize>,
}

/// The exceptions of a file in their order.
///
/// A mark inside of a statement, or behind it on its last line, is about that statement, any other about the one
/// that follows. The body of a `DO` block or a function is inside of its statement.
pub fn allows(text: &str) -> Vec<Allow> {
    // most files have none, and need no second reading
    if !text.to_ascii_lowercase().contains("allow") {
        return Vec::new();
    }
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let layout = layout(body);
    let mut found = Vec::new();
    marks(body, 0, &mut found);
    found
        .into_iter()
        .map(|(offset, rule, reason)| Allow {
            rule,
            reason,
            offset,
            place: place_at(body, offset),
            statement: statement_of(offset, body, &layout),
        })
        .collect()
}

/// Why a file may reach outside of its tenant, where it says that it may.
pub fn allows_leak(text: &str) -> Option<String> {
    let mut allows = allows(text).into_iter();
    let mark = allows.find(|allow| allow.rule == LEAK && !allow.reason.is_empty())?;
    Some(mark.reason)
}

/// Where a mark begins, its rule, its reason.
type Found = (usize, String, String);

/// The marks of a piece of the file, and of the quoted bodies in it.
fn marks(piece: &str, offset: usize, found: &mut Vec<Found>) {
    for token in Lexer::new(piece) {
        let text = &piece[token.start..token.end];
        let at = offset + token.start;
        if token.kind == TokenKind::DollarText {
            let tag = text[1..].find('$').map_or(text.len(), |end| end + 2);
            let end = text
                .len()
                .saturating_sub(if token.closed { tag } else { 0 });
            if let Some(quoted) = text.get(tag..end.max(tag)) {
                marks(quoted, at + tag, found);
            }
        } else if let Some((rule, reason)) = allowed(token.kind, text) {
            found.push((at, rule, reason));
        }
    }
}

fn statement_of(offset: usize, body: &str, layout: &Layout<'_>) -> Option<usize> {
    let before = layout
        .statements
        .partition_point(|statement| statement.offset <= offset);
    let on_its_last_line = |index: usize| {
        let end = layout.ends[index];
        offset < end || !body[end..offset].contains('\n')
    };
    if let Some(last) = before.checked_sub(1)
        && on_its_last_line(last)
    {
        return Some(last);
    }
    (before < layout.statements.len()).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String, Option<usize>)> {
        allows(text)
            .into_iter()
            .map(|allow| (allow.rule, allow.reason, allow.statement))
            .collect()
    }

    fn allow(
        rule: &str,
        reason: &str,
        statement: Option<usize>,
    ) -> (String, String, Option<usize>) {
        (rule.to_owned(), reason.to_owned(), statement)
    }

    #[test]
    fn a_mark_is_about_the_statement_that_follows_or_that_it_stands_in() {
        let text = "-- fleet: allow one it is tested\n\n-- other words\nSELECT 1; -- fleet: allow one again\n\
            /* fleet: allow(two) long\nstory */ SELECT /* fleet: Allow three */ 2;\n-- fleet: allow four nobody";
        assert_eq!(
            found(text),
            [
                allow("one", "it is tested", Some(0)),
                allow("one", "again", Some(0)),
                allow("two", "long\nstory", Some(1)),
                allow("three", "", Some(1)),
                allow("four", "nobody", None),
            ]
        );
    }

    #[test]
    fn a_mark_in_the_body_of_a_block_is_about_the_block() {
        for quote in ["$$", "$body$"] {
            let text = format!(
                "SELECT 'é';\nDO {quote}\nBEGIN\n  -- fleet: allow dynamic-sql because\n  EXECUTE x;\nEND {quote};\nSELECT 2;"
            );
            assert_eq!(found(&text), [allow("dynamic-sql", "because", Some(1))]);
            let place = allows(&text)[0].place;
            assert_eq!((place.line, place.column), (4, 3));
        }
    }

    #[test]
    fn what_is_no_comment_or_no_such_mark_allows_nothing() {
        for text in [
            "SELECT '-- fleet: allow one x';",
            "-- fleet: no-transaction, we allow it\nSELECT 1;",
            "-- fleet: allowed one x\nSELECT 1;",
            "SELECT $$ '-- fleet: allow one x' $$;",
            "SELECT $$ allow",
            "SELECT $allow",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
        assert_eq!(
            found("-- fleet: allow\nSELECT 1;"),
            [allow("", "", Some(0))]
        );
    }
}
