//! A text cut into statements where PostgreSQL and psql would cut it.

use super::kind::copies_from_stdin;
use super::lexer::{Lexer, Token, TokenKind};
use super::place::PlaceCounter;
use crate::migration::Place;

/// One statement of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// From its first to its last word: no comments or blanks around it, no semicolon.
    pub text: &'a str,
    /// Where it begins in the body, in bytes.
    pub offset: usize,
    /// Where it begins, as people count.
    pub place: Place,
}

/// The statements of a body, empty ones dropped.
///
/// Semicolons inside quotes, comments, parentheses (`CREATE RULE … DO (a; b)`) and the body of a
/// routine (`BEGIN ATOMIC … END`) do not end one.
pub fn split(body: &str) -> Vec<Statement<'_>> {
    layout(body).statements
}

/// Invisible, and part of a word wherever the server meets it.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a body is made of.
pub(super) struct Layout<'a> {
    /// Its statements.
    pub(super) statements: Vec<Statement<'a>>,
    /// For each statement the end of its semicolon, else of its text.
    pub(super) ends: Vec<usize>,
    /// Comments, psql's commands, whatever is never closed, and words with a byte order mark in them.
    pub(super) notable: Vec<Token>,
    /// A parenthesis that the end of the text leaves open.
    pub(super) open: Option<usize>,
}

/// Cuts a body and keeps what its inspection asks about.
pub(super) fn layout(body: &str) -> Layout<'_> {
    let mut layout = Layout {
        statements: Vec::new(),
        ends: Vec::new(),
        notable: Vec::new(),
        open: None,
    };
    let mut places = PlaceCounter::new(body);
    let mut lexer = Lexer::new(body);
    let mut current = Shape::default();
    while let Some(token) = lexer.next() {
        if is_notable(token, body) {
            layout.notable.push(token);
        }
        match current.take(token, body) {
            Step::Inside => {}
            Step::Ends(end) => {
                if let Some(statement) = current.statement(body, &mut places) {
                    layout.statements.push(statement);
                    layout.ends.push(end);
                    if copies_from_stdin(statement.text)
                        && let Some(after) = end_of_copied_lines(body, end)
                    {
                        lexer.jump(after);
                    }
                }
                current = Shape::default();
            }
        }
    }
    layout.open = current.parentheses.first().copied();
    if let Some(statement) = current.statement(body, &mut places) {
        layout.ends.push(statement.offset + statement.text.len());
        layout.statements.push(statement);
    }
    layout
}

fn is_notable(token: Token, body: &str) -> bool {
    match token.kind {
        TokenKind::LineComment | TokenKind::BlockComment | TokenKind::MetaCommand => true,
        TokenKind::Word => body[token.start..token.end].contains(BYTE_ORDER_MARK),
        _ => !token.closed,
    }
}

/// The lines behind a `COPY … FROM STDIN` are data up to a line `\.`; without one they are SQL.
fn end_of_copied_lines(body: &str, from: usize) -> Option<usize> {
    let mut at = from + body[from..].find('\n')? + 1;
    for line in body[at..].split_inclusive('\n') {
        at += line.len();
        if line.trim_end_matches(['\r', '\n']) == "\\." {
            return Some(at);
        }
    }
    None
}

/// What a token does to the statement that it belongs to.
enum Step {
    Inside,
    /// It is the last one; the statement with its semicolon ends here.
    Ends(usize),
}

/// How far the first words of a statement agree with `CREATE [OR REPLACE] FUNCTION | PROCEDURE`.
#[derive(Clone, Copy, Default, PartialEq)]
enum Head {
    #[default]
    Nothing,
    Create,
    CreateOr,
    CreateOrReplace,
    Routine,
    Other,
}

impl Head {
    fn take(self, word: &str) -> Self {
        let is = |expected: &str| word.eq_ignore_ascii_case(expected);
        match self {
            Self::Nothing if is("create") => Self::Create,
            Self::Create if is("or") => Self::CreateOr,
            Self::CreateOr if is("replace") => Self::CreateOrReplace,
            Self::Create | Self::CreateOrReplace if is("function") || is("procedure") => {
                Self::Routine
            }
            Self::Routine => Self::Routine,
            _ => Self::Other,
        }
    }
}

/// The last token that counts, as far as the next one's meaning depends on it.
#[derive(Clone, Copy, Default, PartialEq)]
enum Previous {
    /// A statement inside a routine's body may begin here.
    Boundary,
    Begin,
    /// A dot or `AS`: the next word is a name, whatever it is.
    Naming,
    #[default]
    Other,
}

/// The statement that is being read.
#[derive(Default)]
struct Shape {
    start: Option<usize>,
    end: usize,
    /// Where the open parentheses are.
    parentheses: Vec<usize>,
    head: Head,
    previous: Previous,
    /// Inside `BEGIN ATOMIC`: how many `CASE` are open.
    atomic: Option<u32>,
}

impl Shape {
    fn take(&mut self, token: Token, body: &str) -> Step {
        let text = &body[token.start..token.end];
        match token.kind {
            TokenKind::Semicolon if self.parentheses.is_empty() && self.atomic.is_none() => {
                return Step::Ends(token.end);
            }
            TokenKind::MetaCommand if self.start.is_none() => return Step::Inside,
            TokenKind::MetaCommand if sends(text) => return Step::Ends(token.start),
            _ if !token.is_significant() => return Step::Inside,
            _ => {}
        }
        self.start.get_or_insert(token.start);
        self.end = token.end;
        self.previous = match token.kind {
            TokenKind::Word => self.word(text),
            TokenKind::Semicolon => Previous::Boundary,
            TokenKind::Symbol if text == "." => Previous::Naming,
            TokenKind::Open => {
                self.parentheses.push(token.start);
                Previous::Other
            }
            TokenKind::Close => {
                self.parentheses.pop();
                Previous::Other
            }
            _ => Previous::Other,
        };
        if token.kind != TokenKind::Word && self.head != Head::Routine {
            self.head = Head::Other;
        }
        Step::Inside
    }

    fn word(&mut self, word: &str) -> Previous {
        self.head = self.head.take(word);
        if self.head != Head::Routine {
            return Previous::Other;
        }
        let is = |expected: &str| word.eq_ignore_ascii_case(expected);
        match (self.atomic, self.previous) {
            (None, Previous::Begin) if is("atomic") && self.parentheses.is_empty() => {
                self.atomic = Some(0);
                return Previous::Boundary;
            }
            (Some(0), Previous::Boundary) if is("end") => self.atomic = None,
            (_, Previous::Naming) => {}
            (Some(cases), _) if is("case") => self.atomic = Some(cases + 1),
            (Some(cases), _) if is("end") => self.atomic = Some(cases.saturating_sub(1)),
            _ => {}
        }
        match () {
            () if is("begin") => Previous::Begin,
            () if is("as") => Previous::Naming,
            () => Previous::Other,
        }
    }

    fn statement<'a>(&self, body: &'a str, places: &mut PlaceCounter<'_>) -> Option<Statement<'a>> {
        self.start.map(|offset| Statement {
            text: &body[offset..self.end],
            offset,
            place: places.advance_to(offset),
        })
    }
}

/// psql's commands that send what was typed, as a semicolon would.
fn sends(command: &str) -> bool {
    ["\\g", "\\watch", "\\crosstabview"]
        .iter()
        .any(|name| command.starts_with(name))
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
