//! Names in strings: `'schema.table'::regclass`, `nextval('schema.sequence')`, `set_config('search_path', …)`.

use squawk_syntax::SyntaxKind::{
    ARG, ARG_LIST, CALL_EXPR, CAST_EXPR, FIELD_EXPR, LITERAL, NAME_REF, PATH_TYPE,
};
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

use super::super::finding::Found;
use super::names::elsewhere;
use super::statements::rule_of_setting;
use super::text::{child, identifier, range, segments};
use super::{Home, Walk};

/// Types whose input is a name.
const NAMING_TYPES: [&str; 5] = ["regclass", "regtype", "regproc", "regprocedure", "regoper"];

/// Functions whose first argument is a name.
const NAMING_FUNCTIONS: [&str; 12] = [
    "currval",
    "nextval",
    "pg_get_serial_sequence",
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "setval",
    "to_regclass",
    "to_regproc",
    "to_regprocedure",
    "to_regtype",
    "to_regoper",
];

pub(super) fn look(walk: &mut Walk<'_>, node: &SyntaxNode) {
    match node.kind() {
        CAST_EXPR => cast(walk, node),
        CALL_EXPR => call(walk, node),
        _ => {}
    }
}

fn cast(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let Some(literal) = child(node, LITERAL) else {
        return;
    };
    let is_naming = node
        .children()
        .find(|inner| inner.kind() == PATH_TYPE)
        .and_then(|to| segments(&to).pop())
        .is_some_and(|name| NAMING_TYPES.contains(&name.as_str()));
    if is_naming {
        name(walk, &literal);
    }
}

fn call(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let Some(function) = function_name(node) else {
        return;
    };
    let argument = child(node, ARG_LIST)
        .and_then(|list| child(&list, ARG))
        .and_then(|argument| argument.children().next())
        .filter(|value| value.kind() == LITERAL);
    let Some(literal) = argument else { return };
    if function == "set_config" {
        let setting = value(&literal).unwrap_or_default().to_lowercase();
        if let Some(rule) = rule_of_setting(&setting) {
            walk.add(Found::new(
                rule,
                range(node),
                format!("set_config changes {setting}"),
            ));
        }
    } else if NAMING_FUNCTIONS.contains(&function.as_str()) {
        name(walk, &literal);
    }
}

/// The name of what is called, without its schema.
fn function_name(call: &SyntaxNode) -> Option<String> {
    let callee = call.children().next()?;
    let last = match callee.kind() {
        NAME_REF => callee,
        FIELD_EXPR => callee
            .children()
            .filter(|part| part.kind() == NAME_REF)
            .last()?,
        _ => return None,
    };
    Some(identifier(&last.text().to_string()))
}

fn value(literal: &SyntaxNode) -> Option<String> {
    ast::Literal::cast(literal.clone())?.string_value()
}

fn name(walk: &mut Walk<'_>, literal: &SyntaxNode) {
    let Some(text) = value(literal) else { return };
    let Some(schema) = schema_of(&text) else {
        return;
    };
    if walk.home(&schema) == Home::Elsewhere {
        walk.add(elsewhere(range(literal), &text, &schema));
    }
}

/// The schema of a name in a string.
fn schema_of(text: &str) -> Option<String> {
    let text = text.trim();
    let end = match text.strip_prefix('"') {
        Some(rest) => rest.find('"')? + 2,
        None => text.find(|c: char| !c.is_alphanumeric() && c != '_')?,
    };
    let is_qualified = text[end..].starts_with('.') && end > 0;
    is_qualified.then(|| identifier(&text[..end]))
}
