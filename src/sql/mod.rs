//! The SQL of a migration file: its statements and their places, what kind each one is, and
//! whether the file may be run at all. Pure text work that agrees with PostgreSQL's own lexer;
//! no grammar: what the server refuses, the server reports.

mod allow;
mod excerpt;
mod inspect;
mod kind;
mod lexer;
mod lexical;
mod mark;
mod mention;
mod place;
mod split;
mod step;

pub use allow::{Allow, LEAK, allows, allows_leak};
pub use excerpt::{Excerpt, Pointer, excerpt};
pub use inspect::{Finding, Script, inspect};
pub use kind::{StatementKind, TransactionWord, kind};
pub use mention::{Mention, Sought, mention};
pub use place::{place_at, place_of_character};
pub use split::{Statement, split};
pub use step::settlement;
