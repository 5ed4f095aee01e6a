//! Where the body of a function names an object of a schema: in its SQL, or in a text that may become SQL.

use super::lexer::{Lexer, Token, TokenKind};

/// Behind these a name with a dot begins with a schema, never with an alias.
const BEFORE_SCHEMAS: [&str; 11] = [
    "from",
    "join",
    "into",
    "update",
    "table",
    "only",
    "call",
    "references",
    "truncate",
    "using",
    "view",
];

/// How deep texts in texts are followed.
const DEPTH: usize = 4;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// The schema.
    pub schema: &'a str,
    /// Its object. None is any, where only a schema can stand: `t.x` may be a column of what is called `t` here.
    pub object: Option<&'a str>,
}

/// Where something is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mention {
    /// In the SQL itself.
    Code,
    /// In a string: `EXECUTE` may run it, `RAISE` may only print it.
    Text,
}

/// Looks for it; comments do not count.
pub fn mention(body: &str, sought: Sought<'_>) -> Option<Mention> {
    within(body, sought, DEPTH)
}

fn within(body: &str, sought: Sought<'_>, depth: usize) -> Option<Mention> {
    let tokens: Vec<Token> = Lexer::new(body).filter(|t| t.is_significant()).collect();
    let text = |token: &Token| &body[token.start..token.end];
    let is_code = tokens.iter().enumerate().any(|(at, token)| {
        let is_dot = |token: Option<&Token>| token.is_some_and(|token| text(token) == ".");
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if name(token, text(token)).as_deref() != Some(sought.schema)
            || !is_dot(tokens.get(at + 1))
            || is_dot(before)
        {
            return false;
        }
        match sought.object {
            Some(object) => tokens
                .get(at + 2)
                .and_then(|token| name(token, text(token)))
                .is_some_and(|found| found == object),
            None => before.is_some_and(|before| {
                BEFORE_SCHEMAS.contains(&text(before).to_ascii_lowercase().as_str())
            }),
        }
    });
    if is_code {
        return Some(Mention::Code);
    }
    let depth = depth.checked_sub(1)?;
    let mut texts = tokens
        .iter()
        .filter_map(|token| content(token.kind, text(token)));
    texts
        .any(|content| within(&content, sought, depth).is_some())
        .then_some(Mention::Text)
}

/// A name as the catalogue has it.
fn name(token: &Token, text: &str) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(text.to_ascii_lowercase()),
        TokenKind::QuotedName if token.closed => {
            Some(text[1..text.len() - 1].replace("\"\"", "\""))
        }
        _ => None,
    }
}

/// What is inside a string. Escapes stay as they are: a name has none.
fn content(kind: TokenKind, text: &str) -> Option<String> {
    match kind {
        TokenKind::Text => {
            let inside = text.trim_start_matches(['e', 'E']).trim_matches('\'');
            Some(inside.replace("''", "'"))
        }
        TokenKind::DollarText => {
            let tag = text[1..].find('$')? + 2;
            let end = text.len().checked_sub(tag)?;
            text.get(tag..end.max(tag)).map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(body: &str, object: &str) -> Option<Mention> {
        let sought = Sought {
            schema: "acme",
            object: Some(object),
        };
        mention(body, sought)
    }

    fn schema(body: &str) -> Option<Mention> {
        let sought = Sought {
            schema: "acme",
            object: None,
        };
        mention(body, sought)
    }

    #[test]
    fn an_object_is_named_in_sql_or_in_a_text() {
        for body in [
            "SELECT * FROM acme.orders",
            "SELECT acme . Orders.id FROM x",
            "PERFORM \"acme\".\"orders\"",
            "x := 'acme.other'; DELETE FROM ACME.ORDERS",
        ] {
            assert_eq!(object(body, "orders"), Some(Mention::Code), "{body}");
        }
        for body in [
            "EXECUTE 'SELECT 1 FROM acme.orders'",
            "EXECUTE $q$ SELECT 'x' FROM acme.orders $q$",
            "EXECUTE 'SELECT ''SELECT 1 FROM acme.orders'''",
        ] {
            assert_eq!(object(body, "orders"), Some(Mention::Text), "{body}");
        }
    }

    #[test]
    fn comments_other_names_and_names_in_the_middle_do_not_count() {
        for body in [
            "-- acme.orders\nSELECT 1",
            "/* acme.orders */ SELECT 1",
            "SELECT acme_2.orders",
            "SELECT acme.orders_2",
            "SELECT \"Acme\".orders",
            "SELECT db.acme.orders",
            "SELECT acme, orders",
            "'",
            "$$",
        ] {
            assert_eq!(object(body, "orders"), None, "{body}");
        }
    }

    #[test]
    fn without_an_object_an_alias_is_no_schema() {
        assert_eq!(
            schema("SELECT acme.id FROM orders acme WHERE acme.id = 1"),
            None
        );
        assert_eq!(
            schema("EXECUTE format('UPDATE acme.%I SET x = 1', t)"),
            Some(Mention::Text)
        );
        assert_eq!(schema("EXECUTE format('SELECT acme.%I', t)"), None);
    }
}
