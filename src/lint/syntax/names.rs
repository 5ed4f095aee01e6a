//! Names with a schema in front. A name in an expression, `alias.column`, is none; only what is called is.

use squawk_syntax::SyntaxKind::{
    self, ALTER_PUBLICATION, ALTER_SCHEMA, CALL_EXPR, COLLATE, COLLATION_REF, CONFIG_PARAMETER_REF,
    CREATE_AGGREGATE, CREATE_COLLATION, CREATE_EXTENSION, CREATE_OPERATOR, CREATE_OPERATOR_CLASS,
    CREATE_PUBLICATION, CREATE_SCHEMA, CREATE_TEXT_SEARCH_CONFIGURATION,
    CREATE_TEXT_SEARCH_DICTIONARY, CREATE_TYPE, DROP_SCHEMA, EXTENSION_SCHEMA, FIELD_EXPR,
    FOREIGN_KEY_CONSTRAINT, IMPORT_FOREIGN_SCHEMA, INTO_CLAUSE, LIKE_CLAUSE, NAME_REF, OP,
    OP_CLASS_REF, PARTITION_ITEM, PATH, PATH_REF, PATH_TYPE, PERCENT_TYPE, PLPGSQL_ALIAS_TARGET,
    PLPGSQL_PERCENT_ROWTYPE, QUALIFIED_COLUMN_NAME_REF, REFERENCES_CONSTRAINT, RELATION_FROM_ITEM,
    RELATION_NAME, RELATION_NAME_REF, SCHEMA_REF, SET_SCHEMA, TABLE, TABLE_NAME, TABLE_NAME_REF,
};
use squawk_syntax::SyntaxNode;

use super::super::finding::Found;
use super::text::{child, identifier, range, segments};
use super::{Home, Scope, Walk};

/// What is done with what has the name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is read, called, or a column has its type.
    Read,
    /// A foreign key points to it.
    Reference,
    /// It is made, changed, dropped or written to.
    Change,
}

pub(super) fn look(walk: &mut Walk<'_>, node: &SyntaxNode, scope: Scope) {
    match node.kind() {
        PATH | PATH_REF => path(walk, node, scope),
        CALL_EXPR => call(walk, node),
        SCHEMA_REF => schema(walk, node),
        _ => {}
    }
}

fn path(walk: &mut Walk<'_>, node: &SyntaxNode, scope: Scope) {
    let Some(wrapper) = node.parent() else { return };
    let kind = wrapper.kind();
    let is_variable = kind == TABLE_NAME
        && scope != Scope::Migration
        && wrapper
            .parent()
            .is_some_and(|outer| outer.kind() == INTO_CLAUSE);
    if matches!(
        kind,
        PATH | PATH_REF | CONFIG_PARAMETER_REF | PLPGSQL_ALIAS_TARGET
    ) || is_variable
    {
        return;
    }
    let segments = segments(node);
    // of a column the table's name comes last but one
    let object = if matches!(kind, QUALIFIED_COLUMN_NAME_REF | PERCENT_TYPE) {
        2
    } else {
        1
    };
    let Some(index) = segments.len().checked_sub(object + 1) else {
        return;
    };
    let usage = usage(node.kind(), &wrapper);
    judge(walk, node, &segments[index], usage);
}

/// What is done with a name, by what it stands in.
fn usage(path: SyntaxKind, wrapper: &SyntaxNode) -> Use {
    let outer = wrapper.parent();
    let outer_kind = outer.as_ref().map(SyntaxNode::kind);
    if path == PATH {
        return Use::Change;
    }
    match wrapper.kind() {
        PATH_TYPE | PERCENT_TYPE | PLPGSQL_PERCENT_ROWTYPE | OP => Use::Read,
        RELATION_NAME_REF if matches!(outer_kind, Some(RELATION_FROM_ITEM | LIKE_CLAUSE)) => {
            Use::Read
        }
        RELATION_NAME_REF if outer_kind == Some(RELATION_NAME) => {
            let statement = outer.and_then(|name| name.parent());
            if statement.is_some_and(|statement| statement.kind() == TABLE) {
                Use::Read
            } else {
                Use::Change
            }
        }
        TABLE_NAME_REF
            if matches!(
                outer_kind,
                Some(REFERENCES_CONSTRAINT | FOREIGN_KEY_CONSTRAINT)
            ) =>
        {
            Use::Reference
        }
        COLLATION_REF if outer_kind == Some(COLLATE) => Use::Read,
        OP_CLASS_REF if outer_kind == Some(PARTITION_ITEM) => Use::Read,
        _ if is_of_a_new_object(wrapper) => Use::Read,
        _ => Use::Change,
    }
}

/// Functions, types and dictionaries of which an aggregate, operator or configuration is made.
fn is_of_a_new_object(wrapper: &SyntaxNode) -> bool {
    wrapper.ancestors().skip(1).any(|outer| {
        matches!(
            outer.kind(),
            CREATE_AGGREGATE
                | CREATE_OPERATOR
                | CREATE_OPERATOR_CLASS
                | CREATE_TYPE
                | CREATE_COLLATION
                | CREATE_TEXT_SEARCH_CONFIGURATION
                | CREATE_TEXT_SEARCH_DICTIONARY
        )
    })
}

/// `schema.function(…)`, which is a field access in the tree.
fn call(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let Some(field) = child(node, FIELD_EXPR) else {
        return;
    };
    let Some(base) = child(&field, NAME_REF) else {
        return;
    };
    let schema = identifier(&base.text().to_string());
    judge(walk, &field, &schema, Use::Read);
}

fn judge(walk: &mut Walk<'_>, node: &SyntaxNode, schema: &str, usage: Use) {
    let name = node.text().to_string();
    let name = name.trim();
    let found = match (walk.home(schema), usage) {
        (Home::Session, _) | (Home::System | Home::Shared, Use::Read) => return,
        (Home::Shared, Use::Reference) => Found::new(
            "shared-foreign-key",
            range(node),
            format!("a foreign key to {name}, in the shared schema {schema}"),
        ),
        (Home::System | Home::Shared, _) => Found::new(
            "shared-schema",
            range(node),
            format!("{name} is made or changed in {schema}, which all tenants share"),
        ),
        (Home::Elsewhere, _) => elsewhere(range(node), name, schema),
    };
    walk.add(found);
}

/// A name that leads out of the tenant.
pub(super) fn elsewhere(range: std::ops::Range<usize>, name: &str, schema: &str) -> Found {
    let found = Found::new(
        "qualified-name",
        range,
        format!("{name} is in the schema {schema}, outside of the tenant"),
    );
    if schema == "public" {
        found.how(
            "leave public. off if the object is the tenant's; what all tenants share goes into a schema of its own that the \
             database's search_path in fleet.yaml names (public itself, if it must be)",
        )
    } else {
        found
    }
}

/// A schema that is named by itself, such as behind IN SCHEMA.
fn schema(walk: &mut Walk<'_>, node: &SyntaxNode) {
    let parent = node.parent().map(|parent| parent.kind());
    // these statements are a matter of their own
    if matches!(
        parent,
        Some(SET_SCHEMA | ALTER_SCHEMA | DROP_SCHEMA | IMPORT_FOREIGN_SCHEMA | EXTENSION_SCHEMA)
    ) || node.ancestors().any(|outer| {
        matches!(
            outer.kind(),
            CREATE_SCHEMA | CREATE_PUBLICATION | ALTER_PUBLICATION | CREATE_EXTENSION
        )
    }) {
        return;
    }
    let name = identifier(&node.text().to_string());
    let found = match walk.home(&name) {
        Home::Session => return,
        Home::System | Home::Shared => Found::new(
            "shared-schema",
            range(node),
            format!("a statement about the schema {name}, which all tenants share"),
        ),
        Home::Elsewhere => Found::new(
            "qualified-name",
            range(node),
            format!("a statement about the schema {name}, which is not the tenant's own in every tenant"),
        )
        .how("name the objects one by one, without a schema; rights on the tenant's schema itself are a matter of its set-up (fleet roles)"),
    };
    walk.add(found);
}
