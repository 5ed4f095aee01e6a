//! The bodies of `DO` blocks and functions: quoted texts with trees of their own.

use std::ops::Range;

use rowan::{TextRange, TextSize};
use squawk_syntax::SourceFile;
use squawk_syntax::SyntaxKind::{
    CREATE_FUNCTION, CREATE_PROCEDURE, DO, PLPGSQL_DYN_EXECUTE_STMT, PLPGSQL_EXPR, TARGET,
    TARGET_LIST,
};
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::body::{Body, BodyLanguage};

use super::text::child;
use super::{Mapping, Scope, Walk};

pub(super) fn look(walk: &mut Walk<'_>, node: &SyntaxNode, map: &Mapping<'_>) {
    match node.kind() {
        DO => {
            if let Some(body) = ast::Do::cast(node.clone()).and_then(|block| block.plpgsql()) {
                read(walk, &body, Scope::Block, map);
            }
        }
        CREATE_FUNCTION => {
            let Some(function) = ast::CreateFunction::cast(node.clone()) else {
                return;
            };
            if let Some(body) = function.plpgsql() {
                read(walk, &body, Scope::Function, map);
            } else if let Some(body) = function.sql_body() {
                read(walk, &body, Scope::Function, map);
            }
        }
        CREATE_PROCEDURE => {
            let Some(procedure) = ast::CreateProcedure::cast(node.clone()) else {
                return;
            };
            if let Some(body) = procedure.plpgsql() {
                read(walk, &body, Scope::Function, map);
            } else if let Some(body) = procedure.sql_body() {
                read(walk, &body, Scope::Function, map);
            }
        }
        PLPGSQL_DYN_EXECUTE_STMT => constant(walk, node, map),
        _ => {}
    }
}

/// `EXECUTE` of one literal is as good as the statement itself.
fn constant(walk: &mut Walk<'_>, node: &SyntaxNode, map: &Mapping<'_>) {
    let Some(query) = child(node, PLPGSQL_EXPR) else {
        return;
    };
    let mut parts = query
        .descendants()
        .filter(|inner| !matches!(inner.kind(), PLPGSQL_EXPR | TARGET_LIST | TARGET));
    let (Some(literal), None) = (parts.next(), parts.next()) else {
        return;
    };
    let Some(text) = ast::Literal::cast(literal).and_then(|literal| literal.decoded_value()) else {
        return;
    };
    let statement = SourceFile::parse(text.text());
    let in_body = |range: Range<usize>| map(text.source_range(text_range(range)).into());
    walk.tree(statement.tree().syntax(), Scope::Block, &in_body);
}

fn text_range(range: Range<usize>) -> TextRange {
    let size = |at: usize| TextSize::new(u32::try_from(at).unwrap_or(u32::MAX));
    TextRange::new(size(range.start), size(range.end))
}

fn read<T: BodyLanguage>(walk: &mut Walk<'_>, body: &Body<T>, scope: Scope, map: &Mapping<'_>) {
    let in_file = |range: Range<usize>| map(body.source_range(text_range(range)).into());
    walk.tree(&body.syntax(), scope, &in_file);
}
