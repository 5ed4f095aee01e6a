//! Pieces of a tree as text: identifiers as the server reads them, places without the blanks around them.

use std::ops::Range;

use squawk_syntax::{SyntaxKind, SyntaxNode};

/// An identifier as the server reads it.
pub(super) fn identifier(text: &str) -> String {
    let text = text.trim();
    match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

/// Where a node lies, from its first to its last word.
pub(super) fn range(node: &SyntaxNode) -> Range<usize> {
    let whole: Range<usize> = node.text_range().into();
    let is_visible = |token: &squawk_syntax::SyntaxToken| {
        !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)
    };
    let mut tokens = node
        .descendants_with_tokens()
        .filter_map(squawk_syntax::SyntaxElement::into_token)
        .filter(is_visible);
    let first = tokens.next();
    let last = tokens.last().or_else(|| first.clone());
    match (first, last) {
        (Some(first), Some(last)) => {
            first.text_range().start().into()..last.text_range().end().into()
        }
        _ => whole,
    }
}

/// The segments of a path, `a.b.c`.
pub(super) fn segments(path: &SyntaxNode) -> Vec<String> {
    path.descendants()
        .filter(|node| {
            matches!(
                node.kind(),
                SyntaxKind::PATH_SEGMENT | SyntaxKind::PATH_SEGMENT_REF
            )
        })
        .map(|segment| identifier(&segment.text().to_string()))
        .collect()
}

/// The first node of a kind below this one.
pub(super) fn first(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.descendants().find(|inner| inner.kind() == kind)
}

/// The child of a kind.
pub(super) fn child(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.children().find(|inner| inner.kind() == kind)
}
