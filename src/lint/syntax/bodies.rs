//! The bodies of `DO` blocks and functions: quoted texts with trees of their own.

use std::ops::Range;

use rowan::{TextRange, TextSize};
use squawk_syntax::SyntaxKind::{CREATE_FUNCTION, CREATE_PROCEDURE, DO};
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::body::{Body, BodyLanguage};

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
        _ => {}
    }
}

fn read<T: BodyLanguage>(walk: &mut Walk<'_>, body: &Body<T>, scope: Scope, map: &Mapping<'_>) {
    let in_file = |range: Range<usize>| {
        let size = |at: usize| TextSize::new(u32::try_from(at).unwrap_or(u32::MAX));
        let here = TextRange::new(size(range.start), size(range.end));
        map(body.source_range(here).into())
    };
    walk.tree(&body.syntax(), scope, &in_file);
}
