//! Look-ups in the catalogue that see the objects of every tenant.

use squawk_syntax::SyntaxKind::{
    BIN_EXPR, CREATE_FUNCTION, FIELD_EXPR, LITERAL, NAME_REF, PLPGSQL, PLPGSQL_BLOCK, PLPGSQL_BODY,
    PLPGSQL_CASE_STMT, PLPGSQL_DECLARE_SECTION, PLPGSQL_FOR_QUERY_STMT, PLPGSQL_IF_STMT,
    PLPGSQL_LOOP_STMT, PLPGSQL_WHILE_STMT, RELATION_FROM_ITEM, RELATION_NAME_REF, SOURCE_FILE,
};
use squawk_syntax::SyntaxNode;

use super::super::finding::Found;
use super::text::{child, identifier, range, segments};
use super::{Home, Scope, Walk};

/// Relations of `pg_catalog` with rows for objects of all schemas.
const OF_ALL_SCHEMAS: [&str; 26] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_description",
    "pg_enum",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_matviews",
    "pg_operator",
    "pg_policies",
    "pg_policy",
    "pg_proc",
    "pg_rules",
    "pg_sequence",
    "pg_sequences",
    "pg_stat_all_tables",
    "pg_stat_user_indexes",
    "pg_stat_user_tables",
    "pg_tables",
    "pg_trigger",
    "pg_type",
    "pg_views",
    "pg_rewrite",
];

/// Views of `information_schema` about the database or the server.
const OF_NO_SCHEMA: [&str; 6] = [
    "applicable_roles",
    "enabled_roles",
    "information_schema_catalog_name",
    "schemata",
    "sql_features",
    "sql_implementation_info",
];

/// Words that tie a look-up to a schema, or to an object that was found by the search path.
const TIES: [&str; 22] = [
    "current_schema",
    "current_schemas",
    "nspname",
    "pg_function_is_visible",
    "pg_get_serial_sequence",
    "pg_table_is_visible",
    "pg_type_is_visible",
    "regclass",
    "regnamespace",
    "regoper",
    "regproc",
    "regprocedure",
    "regtype",
    "schemaname",
    "tg_relid",
    "tg_table_schema",
    "to_regclass",
    "to_regnamespace",
    "to_regproc",
    "to_regprocedure",
    "to_regtype",
    "typnamespace",
];

pub(super) fn look(walk: &mut Walk<'_>, node: &SyntaxNode, scope: Scope) {
    if node.kind() != RELATION_FROM_ITEM {
        return;
    }
    let Some(relation) = child(node, RELATION_NAME_REF) else {
        return;
    };
    let segments = segments(&relation);
    let looks_at_all = match segments.as_slice() {
        [name] => OF_ALL_SCHEMAS.contains(&name.as_str()),
        [schema, name] if schema == "pg_catalog" => OF_ALL_SCHEMAS.contains(&name.as_str()),
        [schema, name] if schema == "information_schema" => !OF_NO_SCHEMA.contains(&name.as_str()),
        _ => false,
    };
    if !looks_at_all {
        return;
    }
    let rule = if scope == Scope::Block {
        "catalog-lookup"
    } else {
        "function-catalog-lookup"
    };
    let statement = statement_around(node);
    let name = relation.text().to_string();
    if let Some((range, schema)) = names_a_schema(walk, &statement) {
        let what = format!(
            "the look-up in {} is about the schema {schema}",
            name.trim()
        );
        walk.add(Found::new(rule, range, what));
    } else if !is_tied(&statement) {
        let what = format!("the look-up in {} sees every schema", name.trim());
        walk.add(Found::new(rule, range(&relation), what));
    }
}

/// The whole query, so that a condition outside of a join or a subquery counts.
fn statement_around(node: &SyntaxNode) -> SyntaxNode {
    let ancestors = node.ancestors().take_while(|outer| {
        !matches!(
            outer.kind(),
            SOURCE_FILE | PLPGSQL | PLPGSQL_BODY | PLPGSQL_DECLARE_SECTION
        )
    });
    let mut statement = node.clone();
    for outer in ancestors {
        let is_block = matches!(
            outer.kind(),
            PLPGSQL_FOR_QUERY_STMT
                | PLPGSQL_BLOCK
                | PLPGSQL_IF_STMT
                | PLPGSQL_CASE_STMT
                | PLPGSQL_WHILE_STMT
                | PLPGSQL_LOOP_STMT
                | CREATE_FUNCTION
        );
        if is_block {
            break;
        }
        statement = outer;
    }
    statement
}

fn is_tied(statement: &SyntaxNode) -> bool {
    words(statement).any(|word| {
        TIES.contains(&word.as_str())
            || word.ends_with("_schema") && word != "information_schema"
            || word.ends_with("namespace")
    })
}

fn words(statement: &SyntaxNode) -> impl Iterator<Item = String> {
    statement
        .descendants_with_tokens()
        .filter_map(squawk_syntax::SyntaxElement::into_token)
        .map(|token| identifier(token.text()))
}

/// `table_schema = 'public'`: tied, and to the wrong schema.
fn names_a_schema(
    walk: &Walk<'_>,
    statement: &SyntaxNode,
) -> Option<(std::ops::Range<usize>, String)> {
    statement
        .descendants()
        .filter(|node| node.kind() == BIN_EXPR && node.text().to_string().contains('='))
        .find_map(|comparison| {
            let literal = child(&comparison, LITERAL)?;
            let other = comparison
                .children()
                .find(|side| matches!(side.kind(), NAME_REF | FIELD_EXPR))?;
            let column = other.text().to_string();
            let column = identifier(column.rsplit('.').next()?);
            let is_schema =
                matches!(column.as_str(), "nspname" | "schemaname") || column.ends_with("_schema");
            let text = literal.text().to_string();
            let schema = text
                .trim()
                .strip_prefix('\'')?
                .strip_suffix('\'')?
                .to_owned();
            let is_foreign = walk.home(&schema) == Home::Elsewhere;
            (is_schema && is_foreign).then(|| (range(&comparison), schema))
        })
}
