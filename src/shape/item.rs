//! One thing that a tenant's schema holds, in words that PostgreSQL itself uses.

use std::cmp::Ordering;
use std::fmt;

use sha2::{Digest, Sha256};

use super::OWN_SCHEMA;

/// How the definition of an index ends that PostgreSQL does not use.
const INVALID: &str = "INVALID";

/// Between the parts of an item where it is hashed; no name and no word of a kind holds it.
const SEPARATOR: &[u8] = b"\x1f";

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal,)*) => {
        /// What an item is. Whatever others stand on comes first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The word for it, in reports and in queries.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// An extension whose objects are in the tenant's schema.
    Extension = "extension",
    /// A collation.
    Collation = "collation",
    /// An enum, with its labels in order.
    Enum = "enum",
    /// A domain.
    Domain = "domain",
    /// A composite type, with its attributes in order.
    Composite = "composite type",
    /// A range type.
    Range = "range type",
    /// A type of another kind.
    Type = "type",
    /// A sequence.
    Sequence = "sequence",
    /// A table, partitioned or not.
    Table = "table",
    /// A foreign table.
    ForeignTable = "foreign table",
    /// A column of a table.
    Column = "column",
    /// A constraint of a table or a domain.
    Constraint = "constraint",
    /// An index. Behind a constraint it is an item only where something is wrong with it, or it has options.
    Index = "index",
    /// A statistics object.
    Statistics = "statistics",
    /// A function.
    Function = "function",
    /// A procedure.
    Procedure = "procedure",
    /// An aggregate.
    Aggregate = "aggregate",
    /// An operator.
    Operator = "operator",
    /// An operator class, with what is in its family.
    OperatorClass = "operator class",
    /// A text search dictionary.
    Dictionary = "text search dictionary",
    /// A text search configuration.
    TextSearch = "text search configuration",
    /// A view.
    View = "view",
    /// A materialized view.
    MaterializedView = "materialized view",
    /// A rule, other than the one that makes a view.
    Rule = "rule",
    /// A trigger.
    Trigger = "trigger",
    /// Whether row security is enabled or forced; there is no item where it is neither.
    RowSecurity = "row security",
    /// A policy.
    Policy = "policy",
    /// What a role may do with something.
    Grant = "grant",
    /// What an owner has taken from itself.
    OwnerRights = "owner's rights",
    /// What a role will be allowed to do with things to come.
    DefaultPrivilege = "default privilege",
    /// A comment.
    Comment = "comment",
}

impl Kind {
    /// The kind that a word means.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing of a tenant's schema. Names are quoted where SQL asks for it, and never hold the schema's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// The table, view or domain that it belongs to, where it belongs to one.
    pub table: Option<String>,
    /// Its name: of a column `customers.email`, of a function with the types of its arguments, of a grant or a
    /// comment what it is about.
    pub name: String,
    /// What it is like, as far as possible in SQL.
    pub definition: String,
    /// The definition to the letter, where the schema's own name had to be taken out of a text.
    pub raw: Option<String>,
}

impl Item {
    /// By what an item of one tenant is found in another.
    pub fn key(&self) -> (Kind, Option<&str>, &str) {
        (self.kind, self.table.as_deref(), &self.name)
    }

    /// Whether two items of one key are alike. A text that a schema's own name was taken out of may have meant
    /// something else by it (a tenant `api` and the text `api.example.com`): where one item has its own name and the
    /// other one the same letters, that is no difference.
    pub fn is_like(&self, other: &Self) -> bool {
        self.is_like_in((false, false), other)
    }

    /// The same, where the own name of either may be known to be no mere letters: then the same letters in the other
    /// one are the name of another tenant.
    pub(super) fn is_like_in(&self, certain: (bool, bool), other: &Self) -> bool {
        self.definition == other.definition || alike(self.parts(certain.0), other.parts(certain.1))
    }

    /// The definition, with what was taken out put back in its places.
    fn parts(&self, is_certain: bool) -> Vec<Part<'_>> {
        let (Some(raw), mut parts) = (&self.raw, Vec::new()) else {
            return vec![Part::Text(&self.definition)];
        };
        let mut rest = raw.as_str();
        let last = self.definition.matches(OWN_SCHEMA).count();
        for (index, text) in self.definition.split(OWN_SCHEMA).enumerate() {
            // an own name has a letter at least, so that a text which begins like it is not taken for what follows it
            let from = rest.chars().next().map_or(0, char::len_utf8);
            let found = match index {
                0 => rest.starts_with(text).then_some(0),
                _ if index == last => rest.ends_with(text).then(|| rest.len() - text.len()),
                _ => rest
                    .get(from..)
                    .and_then(|after| after.find(text))
                    .map(|at| at + from),
            };
            let Some(at) = found else {
                return vec![Part::Text(raw)];
            };
            if index > 0 {
                parts.push(match &rest[..at] {
                    // the template of a role, or a text that is called so
                    OWN_SCHEMA => Part::Text(OWN_SCHEMA),
                    own if is_certain => Part::Certain(own),
                    own => Part::Own(own),
                });
            }
            parts.push(Part::Text(text));
            rest = &rest[at + text.len()..];
        }
        parts
    }

    /// The definition as PostgreSQL holds it.
    pub fn to_the_letter(&self) -> &str {
        self.raw.as_deref().unwrap_or(&self.definition)
    }

    /// Whether it is an index that PostgreSQL does not use, or not yet.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Index && self.definition.ends_with(INVALID)
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.kind.word());
        for part in [self.table.as_deref().unwrap_or_default(), &self.name] {
            hash.update(SEPARATOR);
            hash.update(part);
        }
        hash.update(SEPARATOR);
        hash.update(&self.definition);
        hash.finalize().into()
    }
}

/// A piece of a definition.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// The schema's own name, as it was written; or the same letters.
    Own(&'a str),
    /// The schema's own name, and nothing else.
    Certain(&'a str),
}

impl<'a> Part<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Text(text) | Self::Own(text) | Self::Certain(text) => text,
        }
    }
}

/// Whether two texts are the same where an own name stands for an own name or for its letters.
fn alike(mut a: Vec<Part<'_>>, mut b: Vec<Part<'_>>) -> bool {
    a.reverse();
    b.reverse();
    let drop_empty = |parts: &mut Vec<Part<'_>>| {
        while parts.pop_if(|part| part.text().is_empty()).is_some() {}
    };
    loop {
        drop_empty(&mut a);
        drop_empty(&mut b);
        let (left, right) = match (a.pop(), b.pop()) {
            (None, None) => return true,
            (Some(Part::Own(_) | Part::Certain(_)), Some(Part::Own(_) | Part::Certain(_))) => {
                continue;
            }
            (Some(Part::Certain(_)), _) | (_, Some(Part::Certain(_))) => return false,
            (Some(left), Some(right)) => (left, right),
            _ => return false,
        };
        let common = left.text().len().min(right.text().len());
        let (Some(x), Some(y)) = (left.text().get(..common), right.text().get(..common)) else {
            return false;
        };
        let is_cut = |part: Part<'_>| matches!(part, Part::Own(own) if own.len() > common);
        if x != y || is_cut(left) || is_cut(right) {
            return false;
        }
        a.push(Part::Text(&left.text()[common..]));
        b.push(Part::Text(&right.text()[common..]));
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        let definitions = || self.definition.cmp(&other.definition);
        self.key().cmp(&other.key()).then_with(definitions)
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `column customers.email`, `index customers_email on customers`.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Named(self.key()))
    }
}

/// An item by its key, as it is called in a sentence.
pub(super) struct Named<'a>(pub(super) (Kind, Option<&'a str>, &'a str));

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            (kind @ Kind::RowSecurity, _, name) => write!(f, "{kind} of {name}"),
            (kind @ (Kind::Comment | Kind::Grant | Kind::OwnerRights), _, name) => {
                write!(f, "{kind} on {name}")
            }
            (kind, Some(table), name) if kind != Kind::Column => {
                write!(f, "{kind} {name} on {table}")
            }
            (kind, _, name) => write!(f, "{kind} {name}"),
        }
    }
}
