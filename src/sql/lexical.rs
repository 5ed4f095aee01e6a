//! Findings of the lexer: what is never closed, what only psql knows, what no server can read.

use super::inspect::Inspection;
use super::lexer::{Token, TokenKind};

impl Inspection<'_> {
    /// What the server's or psql's lexer would stumble over.
    pub(super) fn lexical(&mut self) {
        if let Some(offset) = self.body.find('\0') {
            self.add(
                offset,
                "a NUL byte, which PostgreSQL cannot read".to_owned(),
                "save the file as UTF-8 text",
            );
        }
        for token in self.layout.notable.clone() {
            if token.kind == TokenKind::MetaCommand {
                self.meta_command(token);
            } else if token.kind == TokenKind::Word {
                self.add(
                    token.start,
                    "a byte order mark inside the file".to_owned(),
                    "remove it; it is dropped only as the very first character",
                );
            } else if !token.closed {
                self.unclosed(token);
            }
        }
        let all_closed = self.layout.notable.iter().all(|token| token.closed);
        if let (Some(offset), true) = (self.layout.open, all_closed) {
            self.add(
                offset,
                "a parenthesis that is never closed begins here".to_owned(),
                "close it; everything behind it was read as one statement",
            );
        }
    }

    fn meta_command(&mut self, token: Token) {
        let command = self.body[token.start..token.end]
            .split_whitespace()
            .next()
            .unwrap_or("\\");
        self.add(
            token.start,
            format!(
                "{} is a command of psql, not SQL; the server does not know it",
                shortened(command)
            ),
            "write what it does as SQL; a file cannot include another one",
        );
    }

    fn unclosed(&mut self, token: Token) {
        let (what, hint) = match token.kind {
            TokenKind::Text => ("a string", "close it with a single quote".to_owned()),
            TokenKind::QuotedName => (
                "a quoted identifier",
                "close it with a double quote".to_owned(),
            ),
            TokenKind::DollarText => {
                let text = &self.body[token.start..token.end];
                let tag = text[1..].find('$').map_or(text, |end| &text[..=end + 1]);
                (
                    "a dollar-quoted string",
                    format!("close it with {}", shortened(tag)),
                )
            }
            _ => (
                "a comment",
                "close it with */ (comments nest in PostgreSQL)".to_owned(),
            ),
        };
        self.add(
            token.start,
            format!("{what} that is never closed begins here"),
            &hint,
        );
    }
}

/// A piece of a file for a message.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.trim().char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text.trim()[..end]),
        None => text.trim().to_owned(),
    }
}
