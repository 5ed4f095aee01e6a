//! A server of a test's own, for tests that stop it, crash it or need other settings. A second to start.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::fleet::open_to_all;
use super::server::pg_bindir;
use super::session::Session;

/// A PostgreSQL server, stopped and removed at the end.
pub(crate) struct PrivateServer {
    folder: TempDir,
    port: u16,
}

impl PrivateServer {
    /// Makes a server with lines for its `postgresql.conf` and starts it.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let server = Self::prepare();
        let data = server.pgdata();
        let data = data.to_str().expect("UTF-8");
        let initdb = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"];
        run(server
            .command("initdb")
            .args(initdb)
            .args(["--no-locale", "--no-sync"]));
        server.configure(settings);
        server.pg_ctl(&["start"]);
        server
    }

    /// A folder and a port.
    fn prepare() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("fleet-pg-")
            .tempdir()
            .expect("a temporary folder");
        open_to_all(folder.path());
        if let Some(owner) = Owner::needed() {
            std::os::unix::fs::chown(folder.path(), Some(owner.uid), Some(owner.gid))
                .expect("root may");
        }
        Self {
            port: free_port(),
            folder,
        }
    }

    fn configure(&self, settings: &[&str]) {
        let path = self.pgdata().join("postgresql.conf");
        let mut conf = std::fs::read_to_string(&path).expect("initdb wrote it");
        for line in [
            "fsync = off",
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            &format!("port = {}", self.port),
        ]
        .iter()
        .chain(settings)
        {
            conf.push('\n');
            conf.push_str(line);
        }
        conf.push('\n');
        std::fs::write(path, conf).expect("our own file");
    }

    /// Makes a streaming standby of this one and starts it, with lines for its own `postgresql.conf`. This
    /// one stops for it: not every package of PostgreSQL has `pg_basebackup`.
    pub(crate) fn standby(&self, settings: &[&str]) -> Self {
        let standby = Self::prepare();
        self.stop("fast");
        let mut copy = Command::new("cp");
        run(copy.arg("-a").arg(self.pgdata()).arg(standby.pgdata()));
        self.start_again();
        let source = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres'",
            self.port
        );
        standby.configure(&[&[source.as_str()], settings].concat());
        let signal = standby.pgdata().join("standby.signal");
        std::fs::write(&signal, "").expect("our own file");
        if let Some(owner) = Owner::needed() {
            std::os::unix::fs::chown(&signal, Some(owner.uid), Some(owner.gid)).expect("root may");
        }
        standby.pg_ctl(&["start"]);
        standby
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A session in its `postgres` database.
    pub(crate) fn connect(&self) -> Session {
        Session::connect(&self.url("postgres"))
    }

    /// Stops and starts it: `immediate` is a crash, `fast` cuts every session off.
    pub(crate) fn restart(&self, mode: &str) {
        self.pg_ctl(&["restart", "-m", mode]);
    }

    /// Stops it.
    pub(crate) fn stop(&self, mode: &str) {
        self.pg_ctl(&["stop", "-m", mode]);
    }

    /// Starts it again after a stop.
    pub(crate) fn start_again(&self) {
        self.pg_ctl(&["start"]);
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).expect("pg_ctl made it");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Its data folder.
    pub(crate) fn pgdata(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        let log = self.folder.path().join("log");
        run(self
            .command("pg_ctl")
            .args(arguments)
            .args(["-s", "-w", "-t", "60"])
            .args([Path::new("-D"), &self.pgdata(), Path::new("-l"), &log]));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(pg_bindir().join(program));
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(owner) = Owner::needed() {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if self.pgdata().join("postmaster.pid").exists() {
            let _ = self
                .command("pg_ctl")
                .args(["stop", "-s", "-m", "immediate", "-D"])
                .arg(self.pgdata())
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("PostgreSQL's own program");
    assert!(status.success(), "{command:?}: {status}");
}

/// Who the server runs as, where it may not be us.
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    fn needed() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").expect("a list of users");
        ["postgres:", "nobody:"].iter().find_map(|name| {
            let line = passwd.lines().find(|line| line.starts_with(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Self {
                uid: fields.next()?.parse().ok()?,
                gid: fields.next()?.parse().ok()?,
            })
        })
    }
}

/// Below the range that clients' own ports come from: such a port could be taken before the server starts.
fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(20_000..32_000))
        .take(100)
        .find(|&port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port")
}
