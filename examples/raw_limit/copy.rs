//! Reading histories with COPY: a table that is copied is opened and scanned, one that is selected from is
//! planned for, and the planner opens every index. Many COPYs fit into one message; tokio-postgres takes
//! none there, so this is a client of its own, as small as one can be.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use tokio_postgres::config::Host;

/// Version 3.0 of the protocol.
const PROTOCOL: u32 = 0x0003_0000;

/// Reads every tenant's history. Returns how many tenants and messages there were.
pub(crate) fn read(
    url: &str,
    prefix: &str,
    connections: usize,
    tenants_a_message: usize,
) -> anyhow::Result<(usize, usize)> {
    let found = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..connections)
            .map(|_| scope.spawn(|| Session::open(url)))
            .collect();
        let mut first = Session::open(url)?;
        let tenants: Vec<String> = first.tenants(prefix)?;
        let messages: Vec<String> = tenants.chunks(tenants_a_message).map(message).collect();
        let (next, messages) = (AtomicUsize::new(0), &messages[..]);
        let work = |mut session: Session| {
            while let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                let histories = session.query(message)?;
                found.fetch_add(histories.len(), Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        std::thread::scope(|scope| {
            let work = &work;
            let mut workers = vec![scope.spawn(move || work(first))];
            for session in others {
                workers.push(scope.spawn(move || match session.join() {
                    Ok(session) => work(session?),
                    Err(_) => bail!("a connection's thread has panicked"),
                }));
            }
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(done) => done,
                    Err(_) => bail!("a worker has panicked"),
                })
        })?;
        if found.load(Ordering::Relaxed) < tenants.len() {
            bail!("fewer rows than tenants");
        }
        Ok((tenants.len(), messages.len()))
    })
}

fn message(tenants: &[String]) -> String {
    let copy = |tenant: &String| {
        let tenant = super::quote(tenant);
        format!("COPY {tenant}.refinery_schema_history (version, name, checksum) TO STDOUT;")
    };
    tenants.iter().map(copy).collect()
}

/// A session with a server that trusts its clients, as the bench's does.
struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    fn open(url: &str) -> anyhow::Result<Self> {
        let config: tokio_postgres::Config = url.parse()?;
        let (Some(Host::Tcp(host)), Some(&port)) =
            (config.get_hosts().first(), config.get_ports().first())
        else {
            bail!("the URL needs a host and a port");
        };
        let stream = TcpStream::connect((host.as_str(), port))?;
        stream.set_nodelay(true)?;
        let user = config.get_user().context("the URL needs a user")?;
        let database = config.get_dbname().unwrap_or(user);
        let settings = format!("user\0{user}\0database\0{database}\0\0");
        let mut session = Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
        };
        session.send(
            None,
            &[&PROTOCOL.to_be_bytes(), settings.as_bytes()].concat(),
        )?;
        session.answer()?;
        Ok(session)
    }

    fn send(&mut self, tag: Option<u8>, body: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(body.len() + 4)?.to_be_bytes();
        let message: Vec<u8> = tag
            .into_iter()
            .chain(length)
            .chain(body.iter().copied())
            .collect();
        Ok(self.stream.get_mut().write_all(&message)?)
    }

    /// The rows of everything that a message asks for: what COPY sends, or what SELECT does, lengths and all.
    fn query(&mut self, sql: &str) -> anyhow::Result<Vec<Vec<u8>>> {
        self.send(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat())?;
        self.answer()
    }

    /// What comes until the server is ready for more.
    fn answer(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut rows = Vec::new();
        loop {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header)?;
            let [tag, length @ ..] = header;
            let length = u32::from_be_bytes(length) as usize;
            let mut body = vec![0; length.saturating_sub(4)];
            self.stream.read_exact(&mut body)?;
            match tag {
                b'd' | b'D' => rows.push(body),
                b'Z' => return Ok(rows),
                b'E' => bail!("{}", String::from_utf8_lossy(&body).replace('\0', " ")),
                b'R' if body != [0; 4] => bail!("the server asks for a password"),
                _ => (),
            }
        }
    }

    fn tenants(&mut self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.query("COPY pg_namespace (nspname) TO STDOUT")?;
        let names = rows
            .iter()
            .map(|row| String::from_utf8_lossy(row).trim_end().to_owned());
        let mut tenants: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        if tenants.is_empty() {
            bail!("no schema begins with {prefix}");
        }
        tenants.sort_unstable();
        Ok(tenants)
    }
}
