//! Whether a definition speaks of something, by its name. A name that means something else is taken for it too: that
//! makes a comment of a statement, and never a statement of a comment.

use super::{Difference, Kind};

/// What one item says, for looking names up in it.
pub(super) struct Text {
    original: String,
    lower: String,
}

impl Text {
    pub(super) fn of(parts: &[&str]) -> Self {
        let original = parts.join("\n");
        let lower = original.to_lowercase();
        Self { original, lower }
    }

    /// Whether a name, quoted where SQL asks for it, is in it as a whole word.
    pub(super) fn mentions(&self, name: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        if name.starts_with('"') {
            return self.original.contains(name);
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        self.lower.match_indices(name).any(|(at, _)| {
            let before = self.lower[..at].chars().next_back();
            let after = self.lower[at + name.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    }
}

/// By what name others speak of something, and the table that they have to name beside it.
pub(super) fn subject(difference: &Difference) -> Option<(Option<&str>, &str)> {
    let (table, name) = (difference.table.as_deref(), difference.name.as_str());
    match difference.kind {
        Kind::Column => Some((table, name.get(table?.len() + 1..)?)),
        Kind::Function | Kind::Procedure | Kind::Aggregate => Some((None, bare(name))),
        Kind::Operator => Some((None, name.split(' ').next()?)),
        Kind::RowSecurity | Kind::Grant | Kind::DefaultPrivilege | Kind::Comment => None,
        _ => Some((None, name)),
    }
}

/// The name of a function without its arguments.
pub(super) fn bare(signature: &str) -> &str {
    // a quoted name may hold a parenthesis
    let end = match signature.strip_prefix('"') {
        Some(rest) => rest.find("\"(").map(|at| at + 2),
        None => signature.find('('),
    };
    &signature[..end.unwrap_or(signature.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_word() {
        let text = Text::of(&["DEFAULT nextval('Tickets'::regclass)", "\"Odd name\".x_y"]);
        for (name, is_so) in [
            ("tickets", true),
            ("ticket", false),
            ("\"Odd name\"", true),
            ("y", false),
            ("x_y", true),
            ("", false),
        ] {
            assert_eq!(text.mentions(name), is_so, "{name}");
        }
        assert_eq!(bare("\"a(b\"(integer)"), "\"a(b\"");
        assert_eq!(bare("f(integer)"), "f");
    }
}
