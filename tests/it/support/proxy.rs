//! A network of a test's own: a proxy in front of a server that counts, cuts, freezes and delays.
//!
//! It understands the protocol as far as frontend messages go, so that a test can say *at which message*
//! something happens: just before a history row is written, or when COMMIT is sent and not yet
//! confirmed. It declines encryption, as a server without TLS does.
//!
//! A frozen connection is a black hole for whoever waits for an answer. The kernel goes on confirming
//! packets, so that a TCP keepalive notices nothing: what helps is a time limit of the client's own.

mod control;
mod link;
mod wire;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use control::{Action, Control};
use link::{Link, reset_at_close};

pub(crate) use wire::{Kind, Message};

/// A proxy on a port of its own; it and all its connections end when it is dropped.
pub(crate) struct Proxy {
    control: Arc<Control>,
    address: SocketAddr,
    user: String,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one in front of the server of a URL.
    pub(crate) fn start(target_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (user, target) = split(target_url);
        let control = Arc::new(Control::default());
        control.state().target = target;
        let shared = Arc::clone(&control);
        let acceptor = std::thread::spawn(move || accept(&listener, &shared));
        Self {
            control,
            address,
            user,
            acceptor: Some(acceptor),
        }
    }

    /// The URL of a database behind it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://{}{}/{database}", self.user, self.address)
    }

    /// The next message that matches does not reach the server: both sides get a reset.
    pub(crate) fn cut_before(&self, matches: impl FnMut(&Message) -> bool + Send + 'static) {
        self.control.add_rule(Action::CutBefore, matches);
    }

    /// The next message that matches reaches the server, and is worked on to its end; the client gets a
    /// reset and never an answer.
    pub(crate) fn cut_after(&self, matches: impl FnMut(&Message) -> bool + Send + 'static) {
        self.control.add_rule(Action::CutAfter, matches);
    }

    /// Whatever was to happen at a message that has not come does not happen any more.
    pub(crate) fn forget_rules(&self) {
        self.control.forget_rules();
    }

    /// Resets every connection that there is, now.
    pub(crate) fn cut_all(&self) {
        for link in self.control.links() {
            self.control.cut(&link);
        }
    }

    /// The next message that matches, and all that follows in either direction of its connection, stays
    /// on the way until the thaw.
    pub(crate) fn freeze(&self, matches: impl FnMut(&Message) -> bool + Send + 'static) {
        self.control.add_rule(Action::FreezeBefore, matches);
    }

    /// As `freeze`, but the message itself still reaches the server.
    pub(crate) fn freeze_after(&self, matches: impl FnMut(&Message) -> bool + Send + 'static) {
        self.control.add_rule(Action::FreezeAfter, matches);
    }

    /// Nothing passes any more on any connection, nor on new ones. What is on its way may still arrive.
    pub(crate) fn freeze_all(&self) {
        self.control
            .change(|state| state.everything_is_frozen = true);
    }

    /// Everything passes again, and what was held back comes first.
    pub(crate) fn thaw(&self) {
        self.control.change(|state| {
            state.everything_is_frozen = false;
            state.frozen_links.clear();
        });
    }

    /// How many connections a message has frozen.
    pub(crate) fn frozen(&self) -> usize {
        self.control.state().frozen_links.len()
    }

    /// How long everything is on its way, in each direction.
    pub(crate) fn delay(&self, each_way: Duration) {
        self.control.change(|state| state.delay = each_way);
    }

    /// Whether new connections get a reset at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.control.change(|state| state.refuses = refuses);
    }

    /// New connections go to the server of this URL; those that there are stay where they are.
    pub(crate) fn switch_to(&self, url: &str) {
        let (_, target) = split(url);
        self.control.change(|state| state.target = target);
    }

    /// Whether startup packets lose their `options`, as behind a PgBouncer that ignores these.
    pub(crate) fn strip_startup_options(&self, strips: bool) {
        self.control.change(|state| state.strips_options = strips);
    }

    /// How many connections clients have opened, refused ones and requests to cancel among them.
    pub(crate) fn connections(&self) -> usize {
        self.control.state().connections
    }

    /// How many of its connections live now.
    pub(crate) fn open_connections(&self) -> usize {
        self.control.links().len()
    }

    /// Everything that clients have sent, in the order of its arrival.
    pub(crate) fn messages(&self) -> Vec<Arc<Message>> {
        self.control.state().messages.clone()
    }

    /// How many messages clients have sent.
    pub(crate) fn frontend_messages(&self) -> usize {
        self.control.state().messages.len()
    }

    /// How often a server has said that it is ready: once a connection, once a query.
    pub(crate) fn round_trips(&self) -> usize {
        self.control.state().round_trips
    }

    /// How many connections it has cut.
    pub(crate) fn cuts(&self) -> usize {
        self.control.state().cuts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.end();
        // wakes the acceptor, which then sees that it is over
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // a panic of its own has been shown already
            let _ = acceptor.join();
        }
    }
}

/// A simple query that holds this text.
pub(crate) fn query_with(text: &str) -> impl FnMut(&Message) -> bool + Send + 'static {
    let text = text.to_owned();
    move |message| message.kind == Kind::Tagged('Q') && message.text().contains(&text)
}

/// The n-th message of all that come from now on.
pub(crate) fn nth(n: usize) -> impl FnMut(&Message) -> bool + Send + 'static {
    nth_that(n, |_| true)
}

/// The n-th message from now on that another matcher takes.
pub(crate) fn nth_that(
    n: usize,
    mut matches: impl FnMut(&Message) -> bool + Send + 'static,
) -> impl FnMut(&Message) -> bool + Send + 'static {
    let mut seen = 0;
    move |message| {
        seen += usize::from(matches(message));
        seen == n
    }
}

/// `user@` (or nothing) and `host:port` of a URL.
fn split(url: &str) -> (String, String) {
    let (_, rest) = url.split_once("://").expect("a URL");
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, target) = authority.split_at(host);
    (user.to_owned(), target.to_owned())
}

/// Takes connections until the proxy is dropped, then waits for their ends.
fn accept(listener: &TcpListener, control: &Arc<Control>) {
    let mut connections = Vec::new();
    while let Ok((client, _)) = listener.accept() {
        if control.is_over() {
            break;
        }
        let (number, target) = control.change(|state| {
            state.connections += 1;
            let target = (!state.refuses).then(|| state.target.clone());
            (state.connections, target)
        });
        match target {
            None => reset_at_close(&client),
            Some(target) => {
                let control = Arc::clone(control);
                let serve = move || serve(number, client, &target, &control);
                connections.push(std::thread::spawn(serve));
            }
        }
    }
    for connection in connections {
        // a panic of its own has been shown already
        let _ = connection.join();
    }
}

/// One connection from its first to its last byte.
fn serve(number: usize, client: TcpStream, target: &str, control: &Control) {
    let Ok(server) = TcpStream::connect(target) else {
        reset_at_close(&client);
        return;
    };
    let client = Arc::new(client);
    let link = Arc::new(Link::new(number, Arc::clone(&client), server));
    if !control.register(&link) {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| link::backend(&link, control));
        link::frontend(&link, &client, control);
        // a client that was cut off gets its reset now, while the server may still be at work
        drop(client);
    });
}
