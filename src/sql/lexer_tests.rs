//! Tokens, case by case and against generated texts.

use super::*;
use proptest::prelude::*;

fn tokens(body: &str) -> Vec<(TokenKind, &str)> {
    Lexer::new(body)
        .filter(|token| token.kind != TokenKind::Space)
        .map(|token| (token.kind, &body[token.start..token.end]))
        .collect()
}

#[test]
fn quotes_end_where_the_server_ends_them() {
    use TokenKind::{DollarText, QuotedName, Semicolon, Symbol, Text, Word};
    let cases: &[(&str, &[(TokenKind, &str)])] = &[
        (r"'a\';", &[(Text, r"'a\'"), (Semicolon, ";")]),
        (r"E'a\';b'", &[(Text, r"E'a\';b'")]),
        ("'it''s'", &[(Text, "'it''s'")]),
        ("E'a'\n 'b\\';c'", &[(Text, "E'a'\n 'b\\';c'")]),
        ("E'a' -- c\n'b\\';'", &[(Text, "E'a' -- c\n'b\\';'")]),
        (r"E'a' 'b\'", &[(Text, "E'a'"), (Text, r"'b\'")]),
        (r"nE'\'", &[(Word, "nE"), (Text, r"'\'")]),
        ("$a$ $b$ ; $a$", &[(DollarText, "$a$ $b$ ; $a$")]),
        ("$a$ x $b$a$", &[(DollarText, "$a$ x $b$a$")]),
        ("a$$b", &[(Word, "a$$b")]),
        ("$1", &[(Symbol, "$"), (Symbol, "1")]),
        ("\"a\"\"b;\"", &[(QuotedName, "\"a\"\"b;\"")]),
        (
            "U&\"x;\"",
            &[(Word, "U"), (Symbol, "&"), (QuotedName, "\"x;\"")],
        ),
        ("é$x", &[(Word, "é$x")]),
    ];
    for (body, expected) in cases {
        assert_eq!(tokens(body), *expected, "{body}");
    }
}

#[test]
fn comments_nest_and_end_with_a_line() {
    use TokenKind::{BlockComment, LineComment, MetaCommand, Symbol, Word};
    assert_eq!(
        tokens("/* a /* b; */ c */x"),
        [(BlockComment, "/* a /* b; */ c */"), (Word, "x")]
    );
    assert_eq!(
        tokens("*/* c */"),
        [(Symbol, "*"), (BlockComment, "/* c */")]
    );
    assert_eq!(tokens("-- a;\rb"), [(LineComment, "-- a;"), (Word, "b")]);
    assert_eq!(
        tokens("\\i it's\nb"),
        [(MetaCommand, "\\i it's"), (Word, "b")]
    );
}

#[test]
fn what_is_never_closed_says_so() {
    for body in ["'a", "E'a\\'", "\"a", "$x$ a $y$", "/* /* */", "E'a\\"] {
        let token = Lexer::new(body).next().unwrap();
        assert!(!token.closed && token.end == body.len(), "{body}");
    }
}

proptest! {
    #[test]
    fn tokens_are_the_whole_text(body in "([$'\"\\\\;()eE*/ab\u{e9}\n\r -]|\\PC){0,60}") {
        let mut at = 0;
        for token in Lexer::new(&body) {
            prop_assert_eq!(token.start, at);
            prop_assert!(token.end > at && body.is_char_boundary(token.end));
            at = token.end;
        }
        prop_assert_eq!(at, body.len());
    }
}
