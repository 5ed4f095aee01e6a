//! The tenant's own name in its places again, in SQL that is to be run.

use super::OWN_SCHEMA;
use crate::tenant::{TenantId, quote_identifier};

/// Stands for the name of the tenant's database, in names of roles alone.
const OWN_DATABASE: &str = "{database}";

/// A statement with the tenant's own name in place of the placeholder: as an identifier, and within quotes as these
/// ask for it.
pub(super) fn filled(statement: &str, tenant: &TenantId) -> String {
    let mut text = String::with_capacity(statement.len());
    fill(&mut text, statement, tenant);
    text
}

/// Goes through SQL token by token, as far as quotes need it.
fn fill(out: &mut String, sql: &str, tenant: &TenantId) {
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\'' => {
                let has_escapes = is_escape_string(out);
                let end = literal_end(rest, has_escapes);
                fill_literal(out, rest.split_at(end), has_escapes, tenant);
                end
            }
            '"' => {
                let end = end_of(rest, 1, "\"");
                fill_identifier(out, &rest[..end], tenant);
                end
            }
            '-' if rest.starts_with("--") => {
                let end = end_of(rest, 2, "\n");
                out.push_str(&rest[..end].replace(OWN_SCHEMA, tenant.schema.as_str()));
                end
            }
            '/' if rest.starts_with("/*") => {
                let end = end_of(rest, 2, "*/");
                out.push_str(&rest[..end].replace(OWN_SCHEMA, tenant.schema.as_str()));
                end
            }
            '$' => {
                let (tag, end) = dollar_quote(rest, out).unwrap_or(("$", 1));
                out.push_str(tag);
                if let Some(inner) = rest.get(tag.len()..end.saturating_sub(tag.len())) {
                    fill(out, inner, tenant);
                    out.push_str(tag);
                }
                end
            }
            '{' if rest.starts_with(OWN_SCHEMA) => {
                out.push_str(&tenant.schema.quoted());
                OWN_SCHEMA.len()
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
}

/// Where the first `mark` behind `from` ends; the end of the text where there is none.
fn end_of(text: &str, from: usize, mark: &str) -> usize {
    let found = text.get(from..).and_then(|after| after.find(mark));
    found.map_or(text.len(), |at| from + at + mark.len())
}

/// Whether the literal that begins now is an `E''` string.
fn is_escape_string(before: &str) -> bool {
    let mut backwards = before.chars().rev();
    matches!(backwards.next(), Some('e' | 'E'))
        && !backwards
            .next()
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Where the literal ends with which the text begins.
fn literal_end(text: &str, has_escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if has_escapes => {
                chars.next();
            }
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_none() => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The tag of the dollar quotes with which the text begins, and where they end.
fn dollar_quote<'a>(text: &'a str, before: &str) -> Option<(&'a str, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = text.get(1..)?.find('$')? + 2;
    let tag = text.get(..length)?;
    let is_tag = tag[1..length - 1].chars().all(is_word)
        && !tag[1..].starts_with(|c: char| c.is_ascii_digit())
        && !before.ends_with(is_word);
    let end = is_tag.then(|| text.get(length..)?.find(tag))??;
    Some((tag, length + end + length))
}

/// A literal is the name alone, or text that holds it, in which it is an identifier where a dot and a name follow.
fn fill_literal(
    out: &mut String,
    (literal, after): (&str, &str),
    has_escapes: bool,
    tenant: &TenantId,
) {
    let escaped = |text: String| {
        let doubled = text.replace('\'', "''");
        if has_escapes {
            doubled.replace('\\', "\\\\")
        } else {
            doubled
        }
    };
    let bare = escaped(tenant.schema.as_str().to_owned());
    let identifier = escaped(identifier(tenant.schema.as_str()));
    let mut rest = literal;
    while let Some(at) = rest.find(OWN_SCHEMA) {
        out.push_str(&rest[..at]);
        rest = &rest[at + OWN_SCHEMA.len()..];
        let is_name = rest == "'" && after.starts_with("::regnamespace");
        out.push_str(if is_name || leads_to_a_name(rest) {
            &identifier
        } else {
            &bare
        });
    }
    out.push_str(rest);
}

/// `.orders`, and not the dot at the end of a sentence.
fn leads_to_a_name(rest: &str) -> bool {
    rest.trim_start()
        .strip_prefix('.')
        .is_some_and(|after| after.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"'))
}

fn fill_identifier(out: &mut String, quoted: &str, tenant: &TenantId) {
    let doubled = |name: &str| name.replace('"', "\"\"");
    let schema = doubled(tenant.schema.as_str());
    let database = doubled(tenant.database.as_str());
    let mut rest = quoted;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (placeholder, name) = [(OWN_SCHEMA, schema.as_str()), (OWN_DATABASE, &database)]
            .into_iter()
            .find(|(placeholder, _)| rest.starts_with(placeholder))
            .unwrap_or(("{", "{"));
        out.push_str(name);
        rest = &rest[placeholder.len()..];
    }
    out.push_str(rest);
}

/// A name as an identifier, in quotes where it needs them.
fn identifier(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        quote_identifier(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{DatabaseName, SchemaName};

    fn of(schema: &str, statement: &str) -> String {
        let tenant = TenantId {
            database: DatabaseName::new("main"),
            schema: SchemaName::parse(schema).unwrap(),
        };
        filled(statement, &tenant)
    }

    #[test]
    fn a_name_in_sql_is_a_quoted_identifier() {
        assert_eq!(of("t_3", "SELECT {schema}.f()"), "SELECT \"t_3\".f()");
        let body = "AS $function$ SELECT * FROM {schema}.t -- {schema}\n/* {schema} */ WHERE a = '{schema}' $function$";
        assert_eq!(
            of("q\"x", body),
            "AS $function$ SELECT * FROM \"q\"\"x\".t -- q\"x\n/* q\"x */ WHERE a = 'q\"x' $function$"
        );
        assert_eq!(
            of("t_3", "SELECT $1, {schema}.a$b"),
            "SELECT $1, \"t_3\".a$b"
        );
    }

    #[test]
    fn a_name_in_a_literal_is_the_bare_name() {
        assert_eq!(
            of("t_3", "USING (t = '{schema}'::text)"),
            "USING (t = 't_3'::text)"
        );
        assert_eq!(of("ap'os", "t = '{schema}'"), "t = 'ap''os'");
        assert_eq!(
            of("b\\s", "t = E'{schema}' || '{schema}'"),
            "t = E'b\\\\s' || 'b\\s'"
        );
        assert_eq!(of("t_3", "it''s '{schema}'"), "it''s 't_3'");
        assert_eq!(of("t_3", "('it''s', '{schema}')"), "('it''s', 't_3')");
    }

    #[test]
    fn a_name_with_a_dot_in_a_literal_has_quotes_where_it_needs_them() {
        assert_eq!(of("t_3", "f('{schema}.tsc')"), "f('t_3.tsc')");
        assert_eq!(of("t-3", "f('{schema}.tsc')"), "f('\"t-3\".tsc')");
        assert_eq!(of("a'b", "f('{schema}.tsc')"), "f('\"a''b\".tsc')");
        assert_eq!(of("t-3", "IS 'for {schema}. Yes'"), "IS 'for t-3. Yes'");
        assert_eq!(
            of("t-3", "'{schema}'::regnamespace"),
            "'\"t-3\"'::regnamespace"
        );
    }

    #[test]
    fn a_role_by_template_is_one_identifier() {
        assert_eq!(
            of("t_3", "TO \"web_{schema}\", \"{database}_{schema}\""),
            "TO \"web_t_3\", \"main_t_3\""
        );
        assert_eq!(of("q\"x", "TO \"web_{schema}\""), "TO \"web_q\"\"x\"");
        assert_eq!(of("t_3", "TO \"odd{x}\""), "TO \"odd{x}\"");
    }
}
