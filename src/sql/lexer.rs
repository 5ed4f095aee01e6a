//! Tokens, cut where PostgreSQL's `scan.l` cuts them, as far as it matters for finding the ends of
//! statements: quotes, comments, words. Strings are read with `standard_conforming_strings` on,
//! the default of every supported server.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Blanks and line ends.
    Space,
    /// `-- …`, without its line end.
    LineComment,
    /// `/* … */`, nested.
    BlockComment,
    /// `'…'` or `E'…'`.
    Text,
    /// `$$…$$` or `$tag$…$tag$`.
    DollarText,
    /// `"…"`.
    QuotedName,
    /// A keyword or a bare identifier.
    Word,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// A backslash and the rest of its line: psql takes it for a command of its own, the server
    /// never accepts one outside quotes.
    MetaCommand,
    /// Anything else: operators, numbers, a stray byte.
    Symbol,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// Where it begins, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Whether its closing quote or mark was found before the text ended.
    pub(super) closed: bool,
}

impl Token {
    /// Whether the server sees it at all.
    pub(super) fn is_significant(self) -> bool {
        !matches!(
            self.kind,
            TokenKind::Space | TokenKind::LineComment | TokenKind::BlockComment
        )
    }
}

/// Reads tokens one after another; together they are the whole text.
pub(super) struct Lexer<'a> {
    body: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Begins at the start of a text.
    pub(super) fn new(body: &'a str) -> Self {
        Self { body, at: 0 }
    }

    /// Goes on from somewhere else: the lines of a COPY are data, not SQL.
    pub(super) fn jump(&mut self, to: usize) {
        self.at = to;
    }

    fn bytes(&self) -> &'a [u8] {
        self.body.as_bytes()
    }

    /// The first position from `from` on whose byte does not belong.
    fn run(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = &self.bytes()[from..];
        from + rest.iter().position(|&b| !belongs(b)).unwrap_or(rest.len())
    }

    /// The kind of the token at `at`, its end and whether it was closed.
    fn cut(&self) -> (TokenKind, usize, bool) {
        let bytes = self.bytes();
        let at = self.at;
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            b if is_space(b) => (TokenKind::Space, self.run(at, is_space), true),
            b'-' if next == Some(b'-') => {
                (TokenKind::LineComment, self.run(at, is_inside_line), true)
            }
            b'/' if next == Some(b'*') => self.block_comment(),
            b'\'' => self.quoted(TokenKind::Text, at, b'\''),
            b'"' => self.quoted(TokenKind::QuotedName, at, b'"'),
            b'e' | b'E' if next == Some(b'\'') => self.escaped_text(),
            b'$' => self.dollar(),
            b if starts_word(b) => (TokenKind::Word, self.run(at, continues_word), true),
            b if b.is_ascii_digit() => (
                TokenKind::Symbol,
                self.run(at, |b| b.is_ascii_digit()),
                true,
            ),
            b';' => (TokenKind::Semicolon, at + 1, true),
            b'(' => (TokenKind::Open, at + 1, true),
            b')' => (TokenKind::Close, at + 1, true),
            b'\\' => (TokenKind::MetaCommand, self.run(at, is_inside_line), true),
            _ => (TokenKind::Symbol, at + 1, true),
        }
    }

    /// From a quote to the next one that is not doubled.
    fn quoted(&self, kind: TokenKind, start: usize, quote: u8) -> (TokenKind, usize, bool) {
        let bytes = self.bytes();
        let mut at = start + 1;
        loop {
            at = self.run(at, |b| b != quote);
            if at == bytes.len() {
                return (kind, at, false);
            }
            if bytes.get(at + 1) != Some(&quote) {
                return (kind, at + 1, true);
            }
            at += 2;
        }
    }

    /// `E'…'`: a backslash takes the next character with it.
    fn escaped_text(&self) -> (TokenKind, usize, bool) {
        let bytes = self.bytes();
        let mut at = self.at + 2;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 2,
                b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
                b'\'' => match self.continuation(at + 1) {
                    Some(after) => at = after,
                    None => return (TokenKind::Text, at + 1, true),
                },
                _ => at += 1,
            }
        }
        (TokenKind::Text, bytes.len(), false)
    }

    /// A string goes on behind its quote when only blanks and comments with at least one line end
    /// come before the next quote; an `E''` string then keeps its escapes.
    fn continuation(&self, from: usize) -> Option<usize> {
        let bytes = self.bytes();
        let mut at = from;
        let mut line_ended = false;
        loop {
            match bytes.get(at)? {
                b'\'' if line_ended => return Some(at + 1),
                b'-' if bytes.get(at + 1) == Some(&b'-') => at = self.run(at, is_inside_line),
                b if is_space(*b) => {
                    line_ended |= !is_inside_line(*b);
                    at += 1;
                }
                _ => return None,
            }
        }
    }

    fn block_comment(&self) -> (TokenKind, usize, bool) {
        let bytes = self.bytes();
        let mut at = self.at + 2;
        let mut depth = 1;
        while at < bytes.len() {
            match (bytes[at], bytes.get(at + 1)) {
                (b'*', Some(b'/')) => {
                    at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return (TokenKind::BlockComment, at, true);
                    }
                }
                (b'/', Some(b'*')) => {
                    at += 2;
                    depth += 1;
                }
                _ => at += 1,
            }
        }
        (TokenKind::BlockComment, bytes.len(), false)
    }

    /// `$tag$…$tag$`, or a bare `$` as in `$1`.
    fn dollar(&self) -> (TokenKind, usize, bool) {
        let bytes = self.bytes();
        let start = self.at;
        let tag_end = match bytes.get(start + 1) {
            Some(&b) if starts_word(b) => self.run(start + 1, |b| continues_word(b) && b != b'$'),
            _ => start + 1,
        };
        if bytes.get(tag_end) != Some(&b'$') {
            return (TokenKind::Symbol, start + 1, true);
        }
        let tag = &self.body[start..=tag_end];
        match self.body[tag_end + 1..].find(tag) {
            Some(length) => (
                TokenKind::DollarText,
                tag_end + 1 + length + tag.len(),
                true,
            ),
            None => (TokenKind::DollarText, bytes.len(), false),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if self.at >= self.body.len() {
            return None;
        }
        let start = self.at;
        let (kind, end, closed) = self.cut();
        self.at = end;
        Some(Token {
            kind,
            start,
            end,
            closed,
        })
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A carriage return alone ends a line too, as in `scan.l`.
fn is_inside_line(b: u8) -> bool {
    !matches!(b, b'\n' | b'\r')
}

/// Every byte of a character beyond ASCII counts as a letter.
fn starts_word(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

fn continues_word(b: u8) -> bool {
    starts_word(b) || b.is_ascii_digit() || b == b'$'
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
