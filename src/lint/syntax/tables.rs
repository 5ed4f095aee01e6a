//! What a file does to tables, as far as row security asks: columns, indexes, constraints, policies.

use std::ops::Range;

use squawk_syntax::SyntaxKind::{
    ADD_COLUMN, ADD_CONSTRAINT, ALTER_TABLE, COLUMN, COLUMN_NAME, COLUMN_NAME_REF,
    CONSTRAINT_COLUMN_REF_LIST, CREATE_INDEX, CREATE_POLICY, CREATE_TABLE, DISABLE_RLS,
    DROP_COLUMN, DROP_POLICY, DROP_TABLE, ENABLE_RLS, FORCE_RLS, FOREIGN_KEY_COLUMN_LIST,
    FOREIGN_KEY_CONSTRAINT, NAME_REF, NO_FORCE_RLS, PARTITION_ITEM, PARTITION_ITEM_LIST,
    PARTITION_OF, POLICY, POLICY_REF, PRIMARY_KEY_CONSTRAINT, REFERENCES_CONSTRAINT,
    TABLE_ARG_LIST, TABLE_NAME, TABLE_NAME_REF, TABLE_RENAME_TO, UNIQUE_CONSTRAINT, UNIQUE_KW,
    USING_INDEX_NAME,
};
use squawk_syntax::SyntaxNode;

use super::text::{child, first, identifier, range, segments};

/// One thing that happens to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct TableChange {
    /// The table, without a schema.
    pub(in super::super) table: String,
    /// Where, in bytes.
    pub(in super::super) range: Range<usize>,
    /// What.
    pub(in super::super) change: Change,
}

/// What happens to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Change {
    /// It is made; whether as a partition of another.
    Created { is_partition: bool },
    /// It is gone.
    Dropped,
    /// It has another name.
    Renamed(String),
    /// It gets a column.
    Column(String),
    /// It loses one.
    DroppedColumn(String),
    /// It gets an index or a constraint with one, over these columns; an expression is an empty name.
    Index {
        columns: Vec<String>,
        is_unique: bool,
    },
    /// A foreign key over these columns to this table.
    Reference { columns: Vec<String>, to: String },
    /// Row security is switched on or off.
    Enabled(bool),
    /// It is made to apply to the owner, or no longer.
    Forced(bool),
    /// It gets a policy; all words of it.
    Policy { name: String, words: Vec<String> },
    /// It loses one.
    DroppedPolicy(String),
}

/// Everything that a file does to tables, in its order. The bodies of blocks and functions are not looked into.
pub(super) fn changes(root: &SyntaxNode) -> Vec<TableChange> {
    let mut changes = Changes(Vec::new());
    for statement in root.children() {
        changes.take(&statement);
    }
    changes.0
}

struct Changes(Vec<TableChange>);

impl Changes {
    fn add(&mut self, table: &str, node: &SyntaxNode, change: Change) {
        self.0.push(TableChange {
            table: table.to_owned(),
            range: range(node),
            change,
        });
    }

    fn take(&mut self, statement: &SyntaxNode) {
        match statement.kind() {
            CREATE_TABLE => self.create(statement),
            ALTER_TABLE => self.alter(statement),
            CREATE_INDEX => self.index(statement),
            DROP_TABLE => {
                for table in statement.children().filter(|c| c.kind() == TABLE_NAME_REF) {
                    self.add(&last(&table), statement, Change::Dropped);
                }
            }
            CREATE_POLICY | DROP_POLICY => self.policy(statement),
            _ => {}
        }
    }

    fn create(&mut self, statement: &SyntaxNode) {
        let Some(name) = child(statement, TABLE_NAME) else {
            return;
        };
        let is_temporary = statement.children_with_tokens().any(|part| {
            matches!(
                part.to_string().to_ascii_lowercase().as_str(),
                "temp" | "temporary" | "local temp" | "local temporary"
            )
        });
        if is_temporary {
            return;
        }
        let table = last(&name);
        let is_partition = child(statement, PARTITION_OF).is_some();
        self.add(&table, &name, Change::Created { is_partition });
        if let Some(arguments) = child(statement, TABLE_ARG_LIST) {
            for argument in arguments.children() {
                if argument.kind() == COLUMN {
                    self.column(&table, &argument);
                } else {
                    self.constraint(&table, &argument, None);
                }
            }
        }
    }

    fn column(&mut self, table: &str, node: &SyntaxNode) {
        let Some(name) = child(node, COLUMN_NAME) else {
            return;
        };
        let column = identifier(&name.text().to_string());
        self.add(table, &name, Change::Column(column.clone()));
        for constraint in node.children() {
            self.constraint(table, &constraint, Some(&column));
        }
    }

    fn constraint(&mut self, table: &str, node: &SyntaxNode, of_column: Option<&str>) {
        let own = || of_column.map(|column| vec![column.to_owned()]);
        match node.kind() {
            UNIQUE_CONSTRAINT | PRIMARY_KEY_CONSTRAINT => {
                // USING INDEX takes one that was seen already
                if child(node, USING_INDEX_NAME).is_some() {
                    return;
                }
                let listed = first(node, CONSTRAINT_COLUMN_REF_LIST).map(|list| names(&list));
                if let Some(columns) = listed.or_else(own) {
                    // a surrogate key is unique over all tenants, and gives nothing away
                    let is_unique = node.kind() == UNIQUE_CONSTRAINT;
                    self.add(table, node, Change::Index { columns, is_unique });
                }
            }
            REFERENCES_CONSTRAINT | FOREIGN_KEY_CONSTRAINT => {
                let listed = child(node, FOREIGN_KEY_COLUMN_LIST).map(|list| names(&list));
                let to = child(node, TABLE_NAME_REF).map(|to| last(&to));
                if let (Some(columns), Some(to)) = (listed.or_else(own), to) {
                    self.add(table, node, Change::Reference { columns, to });
                }
            }
            _ => {}
        }
    }

    fn alter(&mut self, statement: &SyntaxNode) {
        let Some(name) = first(statement, TABLE_NAME_REF) else {
            return;
        };
        let table = last(&name);
        for action in statement.children() {
            match action.kind() {
                ADD_COLUMN => self.column(&table, &action),
                DROP_COLUMN => {
                    if let Some(column) = child(&action, COLUMN_NAME_REF) {
                        let column = identifier(&column.text().to_string());
                        self.add(&table, &action, Change::DroppedColumn(column));
                    }
                }
                ADD_CONSTRAINT => {
                    for constraint in action.children() {
                        self.constraint(&table, &constraint, None);
                    }
                }
                TABLE_RENAME_TO => {
                    if let Some(new) = child(&action, TABLE_NAME) {
                        self.add(&table, &action, Change::Renamed(last(&new)));
                    }
                }
                ENABLE_RLS => self.add(&table, &action, Change::Enabled(true)),
                DISABLE_RLS => self.add(&table, &action, Change::Enabled(false)),
                FORCE_RLS => self.add(&table, &action, Change::Forced(true)),
                NO_FORCE_RLS => self.add(&table, &action, Change::Forced(false)),
                _ => {}
            }
        }
    }

    fn index(&mut self, statement: &SyntaxNode) {
        let (Some(table), Some(items)) = (
            first(statement, TABLE_NAME_REF),
            child(statement, PARTITION_ITEM_LIST),
        ) else {
            return;
        };
        let columns = items
            .children()
            .filter(|item| item.kind() == PARTITION_ITEM)
            .map(|item| match child(&item, NAME_REF) {
                Some(name) => identifier(&name.text().to_string()),
                None => String::new(),
            })
            .collect();
        let is_unique = statement
            .children_with_tokens()
            .any(|part| part.kind() == UNIQUE_KW);
        self.add(
            &last(&table),
            statement,
            Change::Index { columns, is_unique },
        );
    }

    fn policy(&mut self, statement: &SyntaxNode) {
        let Some(table) = first(statement, TABLE_NAME_REF) else {
            return;
        };
        let name = statement
            .children()
            .find(|part| matches!(part.kind(), POLICY | POLICY_REF))
            .map(|name| identifier(&name.text().to_string()))
            .unwrap_or_default();
        let change = if statement.kind() == CREATE_POLICY {
            let words = statement
                .descendants_with_tokens()
                .filter_map(squawk_syntax::SyntaxElement::into_token)
                .map(|token| identifier(token.text()))
                .collect();
            Change::Policy { name, words }
        } else {
            Change::DroppedPolicy(name)
        };
        self.add(&last(&table), statement, change);
    }
}

/// The name of an object without its schema.
fn last(name: &SyntaxNode) -> String {
    segments(name).pop().unwrap_or_default()
}

/// The columns of a list.
fn names(list: &SyntaxNode) -> Vec<String> {
    list.children()
        .filter(|name| name.kind() == COLUMN_NAME_REF)
        .map(|name| identifier(&name.text().to_string()))
        .collect()
}
