//! A wire of a given length: a proxy in front of the server that delays everything, and counts.
//!
//! A chunk leaves a fixed time after it has arrived, whatever lies before or behind it, so that many
//! chunks are on the way at once, as on a wire. Threads rather than tasks: a thread's sleep is good to
//! some 0.05 ms, tokio's timer to 1 ms.
//!
//! A **round trip** is counted when a client sends something on a connection after it was handed
//! something from the server, or first of all. The handshake of TCP is not counted, but it takes its time.

mod trace;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use trace::Trip;

/// Chunks on their way in one direction before its sender has to wait.
const ON_THE_WAY: usize = 4096;

/// What has passed since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) connections: usize,
    /// The most at a time.
    pub(crate) peak: usize,
    pub(crate) round_trips: usize,
}

/// A proxy that lives as long as the process.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    each_way: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    traffic: Traffic,
    open: usize,
    /// Only while somebody wants to see them.
    trips: Option<Vec<Trip>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Starts one in front of `host:port`.
    pub(crate) fn start(target: &str, each_way: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            each_way,
            state: Mutex::default(),
        });
        let of_acceptor = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let shared = Arc::clone(&of_acceptor);
                // one that the server does not take ends at once, which its client will say
                std::thread::spawn(move || carry(&shared, client).ok());
            }
        });
        Ok(Self { address, shared })
    }

    /// `host:port` to connect to.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// What has passed since the last call.
    pub(crate) fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut self.shared.state().traffic)
    }

    /// From now on, keeps what is said.
    pub(crate) fn listen(&self) {
        self.shared.state().trips = Some(Vec::new());
    }

    /// What was said since then, in the order of its beginning.
    pub(crate) fn take_trips(&self) -> Vec<Trip> {
        self.shared.state().trips.take().unwrap_or_default()
    }
}

/// A connection from its beginning to its end.
fn carry(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    let server = TcpStream::connect(&shared.target)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let number = {
        let mut state = shared.state();
        state.open += 1;
        state.traffic.connections += 1;
        state.traffic.peak = state.traffic.peak.max(state.open);
        state.traffic.connections
    };
    let connection = Arc::new(Connection {
        number,
        shared: Arc::clone(shared),
        awaits_client: Mutex::new(true),
    });
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let sending = Arc::clone(&connection);
    let each_way = shared.each_way;
    let up = std::thread::spawn(move || {
        // SYN and its answer come first on a real wire
        let link = Link::new(to_server, each_way, |_| ());
        link.pump(from_client, 2 * each_way, |chunk| {
            sending.client_says(chunk);
        });
    });
    let receiving = Arc::clone(&connection);
    let link = Link::new(client, each_way, move |chunk| receiving.client_hears(chunk));
    link.pump(server, Duration::ZERO, |_| ());
    // a panic of its own has been shown already
    let _ = up.join();
    shared.state().open -= 1;
    Ok(())
}

/// Who has the word on one connection.
struct Connection {
    number: usize,
    shared: Arc<Shared>,
    /// Whether the next that the client sends begins a round trip.
    awaits_client: Mutex<bool>,
}

impl Connection {
    fn client_says(&self, chunk: &[u8]) {
        let mut awaits = self
            .awaits_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = self.shared.state();
        // good-bye has no answer
        let begins = std::mem::replace(&mut *awaits, false) && !trace::is_good_bye(chunk);
        state.traffic.round_trips += usize::from(begins);
        if let Some(trips) = &mut state.trips {
            if begins {
                trips.push(Trip::new(self.number));
            }
            if let Some(trip) = trips
                .iter_mut()
                .rfind(|trip| trip.connection == self.number)
            {
                trip.said.extend_from_slice(chunk);
            }
        }
    }

    fn client_hears(&self, chunk: &[u8]) {
        *self
            .awaits_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        let mut state = self.shared.state();
        let trips = state.trips.iter_mut().flatten();
        if let Some(trip) = trips.rev().find(|trip| trip.connection == self.number) {
            trip.answered(chunk.len());
        }
    }
}

/// One direction: chunks are handed over a fixed time after they came.
struct Link {
    each_way: Duration,
    sender: SyncSender<(Instant, Vec<u8>)>,
    deliverer: std::thread::JoinHandle<()>,
}

impl Link {
    fn new(
        mut to: TcpStream,
        each_way: Duration,
        mut at_delivery: impl FnMut(&[u8]) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let deliverer = std::thread::spawn(move || {
            for (due, chunk) in receiver {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                at_delivery(&chunk);
                if to.write_all(&chunk).is_err() {
                    break;
                }
            }
            // an error says that the other side has gone first
            let _ = to.shutdown(Shutdown::Write);
        });
        Self {
            each_way,
            sender,
            deliverer,
        }
    }

    /// Carries what comes until there is no more; the first of it comes `late`.
    fn pump(self, mut from: TcpStream, mut late: Duration, mut at_arrival: impl FnMut(&[u8])) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let chunk = &buffer[..length];
            at_arrival(chunk);
            let due = Instant::now() + self.each_way + std::mem::take(&mut late);
            if self.sender.send((due, chunk.to_vec())).is_err() {
                break;
            }
        }
        drop(self.sender);
        // a panic of its own has been shown already
        let _ = self.deliverer.join();
    }
}
