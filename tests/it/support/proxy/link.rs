//! One connection through the proxy: a thread for each direction.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::control::{Action, Control};
use super::wire::{Frame, Frames, Kind, Message, ReadyCounter, SYNC, without_options};

/// A client, its server, and how far the two have come.
pub(super) struct Link {
    /// 1 is the first that the proxy took.
    pub(super) number: usize,
    /// None once the client has been cut off. Whoever uses it holds it for as long as that takes: the
    /// reset is sent when nobody does any more.
    client: Mutex<Option<Arc<TcpStream>>>,
    server: TcpStream,
    is_cut: AtomicBool,
    /// How often the server has to be ready before it has answered everything.
    awaited: AtomicUsize,
}

/// A socket that is closed sends a reset, and what it has not sent yet is lost.
pub(super) fn reset_at_close(socket: &TcpStream) {
    // an error says that the connection is gone already
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

impl Link {
    pub(super) fn new(number: usize, client: Arc<TcpStream>, server: TcpStream) -> Self {
        for socket in [&*client, &server] {
            // an error says that the connection is gone already
            let _ = socket.set_nodelay(true);
        }
        Self {
            number,
            client: Mutex::new(Some(client)),
            server,
            is_cut: AtomicBool::new(false),
            awaited: AtomicUsize::new(0),
        }
    }

    fn client(&self) -> Option<Arc<TcpStream>> {
        self.client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends both sides with a reset, as soon as both threads have noticed.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for socket in self.client().as_deref().into_iter().chain([&self.server]) {
            reset_at_close(socket);
            // wakes its reader and tells the other side nothing
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Whether nothing may be forwarded any more.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    /// Ends both sides at once and politely, however its threads wait.
    pub(super) fn close(&self) {
        for socket in self.client().as_deref().into_iter().chain([&self.server]) {
            // an error says that the connection is gone already
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// From now on nothing reaches the client; it gets its reset when the last that uses it lets go.
    fn orphan(&self) {
        let client = self
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(client) = client {
            reset_at_close(&client);
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.server).write_all(bytes)
    }
}

/// Forwards what the client sends, until one of the two is gone.
pub(super) fn frontend(link: &Link, client: &TcpStream, control: &Control) {
    let mut frames = Frames::new(client);
    let mut number = 0;
    loop {
        let is_new_burst = frames.are_drained();
        let Ok(frame) = frames.next() else { break };
        if is_new_burst && !control.travel(link) {
            return;
        }
        let forwarded = match frame {
            Frame::EncryptionRequest => {
                if !control.pass(link) {
                    return;
                }
                let mut to_client = client;
                to_client.write_all(b"N")
            }
            Frame::Message(kind, bytes) => {
                number += 1;
                match message(link, control, number, kind, bytes) {
                    Some(forwarded) => forwarded,
                    None => return,
                }
            }
        };
        if forwarded.is_err() {
            return;
        }
    }
    if control.pass(link) {
        // an error says that the server has gone first
        let _ = link.server.shutdown(Shutdown::Write);
    }
}

/// Does with one message what the rules say. None: the connection is over.
fn message(
    link: &Link,
    control: &Control,
    number: usize,
    kind: Kind,
    bytes: Vec<u8>,
) -> Option<io::Result<()>> {
    let message = Arc::new(Message {
        connection: link.number,
        number,
        kind,
        bytes,
    });
    let action = control.arrived(&message);
    if action == Some(Action::FreezeBefore) {
        control.freeze(link);
    }
    if !control.pass(link) {
        return None;
    }
    match action {
        Some(Action::CutBefore) => {
            control.cut(link);
            return None;
        }
        Some(Action::FreezeAfter) => control.freeze(link),
        Some(Action::FreezeBefore | Action::CutAfter) | None => {}
    }
    if message.awaits_ready() {
        link.awaited.fetch_add(1, Ordering::SeqCst);
    }
    let stripped = (kind == Kind::Startup && control.strips_options())
        .then(|| without_options(&message.bytes));
    let bytes = stripped.as_ref().unwrap_or(&message.bytes);
    if action != Some(Action::CutAfter) {
        return Some(link.send(bytes));
    }
    if message.awaits_sync() {
        link.awaited.fetch_add(1, Ordering::SeqCst);
    }
    link.orphan();
    // whether it was sent shows in what the server does
    let _ = link.send(bytes);
    control.has_cut();
    if message.awaits_sync() {
        let _ = link.send(&SYNC);
    } else if !message.awaits_ready() {
        let _ = link.server.shutdown(Shutdown::Write);
    }
    None
}

/// Forwards what the server sends, until one of the two is gone.
pub(super) fn backend(link: &Link, control: &Control) {
    let mut ready = 0;
    let mut counter = ReadyCounter::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = (&link.server).read(&mut buffer) {
        let chunk = &buffer[..length];
        let now_ready = counter.count(chunk);
        ready += now_ready;
        control.answered(now_ready);
        let Some(client) = link.client() else {
            if ready >= link.awaited.load(Ordering::SeqCst) {
                return;
            }
            continue;
        };
        if !control.travel(link) || !control.pass(link) {
            return;
        }
        let mut to_client = &*client;
        if to_client.write_all(chunk).is_err() {
            break;
        }
    }
    if let Some(client) = link.client()
        && control.pass(link)
    {
        // an error says that the client has gone first
        let _ = client.shutdown(Shutdown::Write);
    }
}
