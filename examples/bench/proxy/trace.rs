//! What was said in one round trip, for people who look for one too many.

use std::time::Instant;

/// Characters of a statement that are shown.
const SHOWN: usize = 160;

/// What a client sent at once, and what came back.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    /// Which connection, from 1.
    pub(crate) connection: usize,
    /// When the client sent it.
    pub(crate) begun: Instant,
    /// When the last of the answer was handed over.
    pub(crate) ended: Instant,
    pub(crate) said: Vec<u8>,
    /// How much came back.
    pub(crate) answer_bytes: usize,
}

/// Terminate.
pub(super) fn is_good_bye(chunk: &[u8]) -> bool {
    chunk == [b'X', 0, 0, 0, 4]
}

impl Trip {
    pub(super) fn new(connection: usize) -> Self {
        Self {
            connection,
            begun: Instant::now(),
            ended: Instant::now(),
            said: Vec::new(),
            answer_bytes: 0,
        }
    }

    pub(super) fn answered(&mut self, bytes: usize) {
        self.ended = Instant::now();
        self.answer_bytes += bytes;
    }

    /// Its messages in words.
    pub(crate) fn words(&self) -> String {
        let mut rest = &self.said[..];
        let mut words = Vec::new();
        while let Some((word, behind)) = message(rest) {
            words.push(word);
            rest = behind;
        }
        words.join("; ")
    }
}

/// The first message, and what lies behind it.
fn message(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&tag, _) = bytes.split_first()?;
    // the packets that begin a session have no letter, and are shorter than 16 MB
    let header = usize::from(tag != 0);
    let length = bytes.get(header..header + 4)?.try_into().ok()?;
    let length = u32::from_be_bytes(length) as usize;
    let end = (header + length).min(bytes.len()).max(header + 4);
    let body = &bytes[header + 4..end];
    let word = match tag {
        0 if length == 8 => "wish for encryption".to_owned(),
        0 => format!("startup {}", text(body.get(4..).unwrap_or_default())),
        b'Q' => format!("query {}", text(body)),
        b'P' => format!("parse {}", text(body)),
        b'p' => "password".to_owned(),
        b'B' => "bind".to_owned(),
        b'D' => "describe".to_owned(),
        b'E' => "execute".to_owned(),
        b'C' => "close".to_owned(),
        b'S' => "sync".to_owned(),
        other => char::from(other).to_string(),
    };
    Some((word, &bytes[end..]))
}

/// As one line, cut short.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\0', " ");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = line.chars().count();
    if length <= SHOWN {
        return line;
    }
    let shown: String = line.chars().take(SHOWN).collect();
    format!("{shown}… ({length} characters)")
}
