//! Whether a file may be run, and how: every reason against it at once, each with its place.

use super::kind::{StatementKind, TransactionWord, is_plain, keeps_to_relations, kind};
use super::lexical::shortened;
use super::mark::{Mark, mark};
use super::place::PlaceCounter;
use super::split::{BYTE_ORDER_MARK, Layout, Statement, layout};
use super::step::step;
use crate::migration::{Place, SessionUse, Step, TransactionMode};

/// A file that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What is sent: the text without a byte order mark, a `BEGIN`/`COMMIT` around the whole
    /// blanked out, so that lines and columns stay those of the file.
    pub body: String,
    /// How it is run.
    pub mode: TransactionMode,
    /// Where each statement of the body begins.
    pub statements: Vec<Place>,
    /// The same statements, each by itself, where they run without a transaction; else none.
    pub steps: Vec<Step>,
    /// Whether they may leave something on the session.
    pub session: SessionUse,
}

/// Why a file cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}

/// Decides how a file is run.
///
/// # Errors
/// Everything that speaks against running it, in the order of the file.
pub fn inspect(text: &str) -> Result<Script, Vec<Finding>> {
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut inspection = Inspection {
        body,
        layout: layout(body),
        kinds: Vec::new(),
        findings: Vec::new(),
    };
    inspection.kinds = inspection.layout.statements.iter().map(kind).collect();
    let marked = inspection.marks();
    inspection.lexical();
    let wrapped = inspection.is_wrapped();
    let inner = if wrapped {
        1..inspection.kinds.len() - 1
    } else {
        0..inspection.kinds.len()
    };
    inspection.control(inner.clone());
    inspection.copies(inner.clone());
    let mode = inspection.mode(marked, wrapped, inner.clone());
    if inner.is_empty() && inspection.findings.is_empty() {
        inspection.add(
            0,
            "the file holds no statement".to_owned(),
            "write the migration, or remove the file if it was never applied; \
             SELECT 1 if it has to stay",
        );
    }
    inspection.finish(mode, wrapped, inner)
}

/// A file under inspection and what was found so far.
pub(super) struct Inspection<'a> {
    pub(super) body: &'a str,
    pub(super) layout: Layout<'a>,
    kinds: Vec<StatementKind>,
    /// Where in the body, the problem, the hint.
    findings: Vec<(usize, String, String)>,
}

type Range = std::ops::Range<usize>;

impl<'a> Inspection<'a> {
    pub(super) fn add(&mut self, offset: usize, problem: String, hint: &str) {
        self.findings.push((offset, problem, hint.to_owned()));
    }

    fn statement(&self, index: usize) -> Statement<'a> {
        self.layout.statements[index]
    }

    /// Reads the marks; where the one that asks for no transaction is, if it is there.
    fn marks(&mut self) -> Option<usize> {
        let first = self.layout.statements.first().map(|s| s.offset);
        let mut marked = None;
        for token in self.layout.notable.clone() {
            let leading = first.is_none_or(|first| token.start < first);
            let comment = &self.body[token.start..token.end];
            match mark(token.kind, comment) {
                Some(Mark::NoTransaction) if leading => marked = Some(token.start),
                Some(Mark::NoTransaction) => {
                    marked.get_or_insert(token.start);
                    self.add(
                        token.start,
                        "this mark stands behind the first statement, where it has no effect"
                            .to_owned(),
                        "move it to the first line of the file",
                    );
                }
                Some(Mark::Unknown) if leading => self.add(
                    token.start,
                    format!("unknown mark {:?}", shortened(comment)),
                    "known are `-- fleet: no-transaction` and `-- fleet: allow …`",
                ),
                _ => {}
            }
        }
        marked
    }

    /// Whether the whole file stands between `BEGIN` and `COMMIT`.
    fn is_wrapped(&self) -> bool {
        use StatementKind::TransactionControl;
        use TransactionWord::{Begin, Commit, End, StartTransaction};
        let (Some(first), Some(last)) = (
            self.layout.statements.first(),
            self.layout.statements.last(),
        ) else {
            return false;
        };
        self.kinds.len() > 1
            && matches!(self.kinds[0], TransactionControl(Begin | StartTransaction))
            && matches!(
                self.kinds[self.kinds.len() - 1],
                TransactionControl(Commit | End)
            )
            && is_plain(first)
            && is_plain(last)
    }

    fn control(&mut self, inner: Range) {
        for index in inner {
            let StatementKind::TransactionControl(word) = self.kinds[index] else {
                continue;
            };
            let statement = self.statement(index);
            let opens = matches!(
                word,
                TransactionWord::Begin | TransactionWord::StartTransaction
            );
            let hint = if opens && !is_plain(&statement) {
                "fleet opens the transaction itself, in the database's default mode: take this off"
            } else {
                "fleet opens and ends the transaction itself, together with the history row: take \
                 this off, or split the file where it should commit; BEGIN and COMMIT are taken \
                 off only as the first and the last statement, without options"
            };
            self.add(statement.offset, format!("{word} in a migration"), hint);
        }
    }

    fn copies(&mut self, inner: Range) {
        for index in inner {
            if self.kinds[index] == StatementKind::CopyStdin {
                self.add(
                    self.statement(index).offset,
                    "COPY from or to the client, which is not there in a migration".to_owned(),
                    "write the rows as INSERT … VALUES",
                );
            }
        }
    }

    /// How the file is run; conflicts between its statements, the mark and a `BEGIN` are findings.
    fn mode(&mut self, marked: Option<usize>, wrapped: bool, inner: Range) -> TransactionMode {
        let outside: Vec<(usize, &'static str)> = inner
            .clone()
            .filter_map(|index| match self.kinds[index] {
                StatementKind::OutsideTransaction(name) => Some((index, name)),
                _ => None,
            })
            .collect();
        let ordinary = inner
            .clone()
            .find(|&index| self.kinds[index] == StatementKind::Ordinary);
        if wrapped && marked.is_some() {
            self.add(
                self.statement(0).offset,
                "BEGIN in a file that is marked to run without a transaction".to_owned(),
                "take off either the mark, or BEGIN and COMMIT",
            );
        } else if wrapped && let Some(&(index, name)) = outside.first() {
            self.add(
                self.statement(index).offset,
                format!("{name} cannot run between BEGIN and COMMIT"),
                "take BEGIN and COMMIT off, or move this statement into a migration of its own",
            );
        } else if marked.is_none()
            && let (Some(&(index, name)), Some(other)) = (outside.first(), ordinary)
        {
            let line = self.statement(other).place.line;
            self.add(
                self.statement(index).offset,
                format!(
                    "{name} cannot run in a transaction, but the file also holds statements that \
                     should (line {line})"
                ),
                "move it into a migration of its own; or add `-- fleet: no-transaction` as the \
                 first line, then each statement commits by itself",
            );
        }
        if marked.is_some() || !outside.is_empty() {
            TransactionMode::NonTransactional
        } else {
            TransactionMode::Transactional
        }
    }

    fn finish(
        mut self,
        mode: TransactionMode,
        wrapped: bool,
        inner: Range,
    ) -> Result<Script, Vec<Finding>> {
        if !self.findings.is_empty() {
            self.findings.sort_by_key(|(offset, ..)| *offset);
            let mut places = PlaceCounter::new(self.body);
            return Err(self
                .findings
                .into_iter()
                .map(|(offset, problem, hint)| Finding {
                    place: places.advance_to(offset),
                    problem,
                    hint,
                })
                .collect());
        }
        let mut body = self.body.to_owned();
        if wrapped {
            // from the end, so that the first one's offsets still hold
            for index in [inner.end, 0] {
                let range = self.statement(index).offset..self.layout.ends[index];
                let blank = blanked(&body[range.clone()]);
                body.replace_range(range, &blank);
            }
        }
        let keeps = inner
            .clone()
            .all(|index| keeps_to_relations(&self.statement(index)));
        let steps = match mode {
            TransactionMode::Transactional => Vec::new(),
            TransactionMode::NonTransactional => self.layout.statements[inner.clone()]
                .iter()
                .map(step)
                .collect(),
        };
        Ok(Script {
            body,
            mode,
            steps,
            session: if keeps {
                SessionUse::None
            } else {
                SessionUse::Possible
            },
            statements: self.layout.statements[inner]
                .iter()
                .map(|statement| statement.place)
                .collect(),
        })
    }
}

/// As many blanks as characters, line ends kept.
fn blanked(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '\r' | '\n') { c } else { ' ' })
        .collect()
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
