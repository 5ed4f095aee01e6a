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
        let folder = tempfile::Builder::new()
            .prefix("fleet-pg-")
            .tempdir()
            .expect("a temporary folder");
        open_to_all(folder.path());
        if let Some(owner) = Owner::needed() {
            std::os::unix::fs::chown(folder.path(), Some(owner.uid), Some(owner.gid))
                .expect("root may");
        }
        let server = Self {
            port: free_port(),
            folder,
        };
        let data = server.pgdata();
        let data = data.to_str().expect("UTF-8");
        let initdb = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"];
        run(server
            .command("initdb")
            .args(initdb)
            .args(["--no-locale", "--no-sync"]));
        let mut conf = std::fs::read_to_string(server.pgdata().join("postgresql.conf"))
            .expect("initdb wrote it");
        for line in [
            "fsync = off",
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            &format!("port = {}", server.port),
        ]
        .iter()
        .chain(settings)
        {
            conf.push('\n');
            conf.push_str(line);
        }
        conf.push('\n');
        std::fs::write(server.pgdata().join("postgresql.conf"), conf).expect("our own file");
        server.pg_ctl(&["start"]);
        server
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
