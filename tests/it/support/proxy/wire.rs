//! As much of PostgreSQL's protocol as a proxy has to know: where one message ends and what it is.

use std::borrow::Cow;
use std::io::{self, BufReader, Read};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What a frontend message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The packet that begins a session.
    Startup,
    /// The packet, on a connection of its own, that asks to cancel a statement.
    Cancel,
    /// Anything later, by its letter: `Q` is a simple query, `P` a Parse, `X` the good-bye.
    Tagged(char),
}

/// A message of a frontend.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Which connection it came on: 1 is the first that the proxy took.
    pub(crate) connection: usize,
    /// Which of its connection's messages it is: 1 is the startup packet.
    pub(crate) number: usize,
    /// What it is.
    pub(crate) kind: Kind,
    /// The whole of it, its letter and length included.
    pub(super) bytes: Vec<u8>,
}

impl Message {
    /// What it says, as far as it is text: the statement of a query, the settings of a startup packet.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        let header = match self.kind {
            Kind::Startup | Kind::Cancel => 8,
            Kind::Tagged(_) => 5,
        };
        String::from_utf8_lossy(self.bytes.get(header..).unwrap_or_default())
    }

    /// Whether the server says that it is ready again once it has worked on this.
    pub(super) fn awaits_ready(&self) -> bool {
        matches!(self.kind, Kind::Startup | Kind::Tagged('Q' | 'S' | 'F'))
    }

    /// Whether the server answers this only when a Sync follows.
    pub(super) fn awaits_sync(&self) -> bool {
        matches!(self.kind, Kind::Tagged('P' | 'B' | 'D' | 'E' | 'C' | 'H'))
    }
}

/// The message that makes a server answer what came before.
pub(super) const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// What came next from a frontend.
pub(super) enum Frame {
    /// A wish for encryption, which a proxy that reads along turns down.
    EncryptionRequest,
    /// A message.
    Message(Kind, Vec<u8>),
}

/// Cuts what a frontend sends into messages.
pub(super) struct Frames<R> {
    stream: BufReader<R>,
    begun: bool,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream: BufReader::new(stream),
            begun: false,
        }
    }

    /// Whether the next message has still to arrive, so that it is not of one burst with the last.
    pub(super) fn are_drained(&self) -> bool {
        self.stream.buffer().is_empty()
    }

    /// The next message. The end of the stream is an error as well, also between two messages.
    pub(super) fn next(&mut self) -> io::Result<Frame> {
        let tag = if self.begun {
            let mut tag = [0];
            self.stream.read_exact(&mut tag)?;
            Some(tag[0])
        } else {
            None
        };
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let body = (u32::from_be_bytes(length) as usize).saturating_sub(4);
        let mut bytes: Vec<u8> = tag.into_iter().chain(length).collect();
        let header = bytes.len();
        bytes.resize(header + body, 0);
        self.stream.read_exact(&mut bytes[header..])?;
        if let Some(tag) = tag {
            return Ok(Frame::Message(Kind::Tagged(char::from(tag)), bytes));
        }
        let code = bytes.get(4..8).and_then(|code| code.try_into().ok());
        Ok(match code.map(u32::from_be_bytes) {
            Some(SSL_REQUEST | GSS_REQUEST) => Frame::EncryptionRequest,
            Some(CANCEL_REQUEST) => Frame::Message(Kind::Cancel, bytes),
            _ => {
                self.begun = true;
                Frame::Message(Kind::Startup, bytes)
            }
        })
    }
}

/// A startup packet without its parameter `options`.
pub(super) fn without_options(packet: &[u8]) -> Vec<u8> {
    let (head, parameters) = packet.split_at(8);
    let words: Vec<&[u8]> = parameters.split(|&byte| byte == 0).collect();
    let mut kept = Vec::new();
    for pair in words.chunks_exact(2) {
        if pair[0] != b"options" && !pair[0].is_empty() {
            for word in pair {
                kept.extend_from_slice(word);
                kept.push(0);
            }
        }
    }
    kept.push(0);
    let length = u32::try_from(head.len() + kept.len()).expect("a short packet");
    [&length.to_be_bytes(), &head[4..], &kept].concat()
}

/// Follows what a server sends, in chunks of any size, and counts how often it says that it is ready.
#[derive(Default)]
pub(super) struct ReadyCounter {
    header: Vec<u8>,
    body_left: usize,
}

impl ReadyCounter {
    /// How many of its `ReadyForQuery` begin in this chunk.
    pub(super) fn count(&mut self, mut chunk: &[u8]) -> usize {
        let mut ready = 0;
        loop {
            let skipped = self.body_left.min(chunk.len());
            chunk = &chunk[skipped..];
            self.body_left -= skipped;
            let wanted = (5 - self.header.len()).min(chunk.len());
            self.header.extend_from_slice(&chunk[..wanted]);
            chunk = &chunk[wanted..];
            let Ok([tag, length @ ..]) = <[u8; 5]>::try_from(self.header.as_slice()) else {
                return ready;
            };
            self.header.clear();
            self.body_left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
            ready += usize::from(tag == b'Z');
        }
    }
}
