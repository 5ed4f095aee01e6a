//! For tests of this room: a real server that listens on TCP, with settings of the test's choice,
//! and servers of a few lines that only say what a script says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::embedded::{EmbeddedServer, EmbeddedStatus};
use super::{ConnectionUrl, PgError, Session, SessionOptions, connect};

/// What the tests open sessions with.
pub(super) fn options() -> SessionOptions {
    SessionOptions {
        application_name: "fleet test".into(),
        connect_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(30),
    }
}

/// Opens a session.
pub(super) async fn session(url: &str) -> Result<Session, PgError> {
    connect(&ConnectionUrl::parse(url)?, &options()).await
}

/// The first value of a query.
pub(super) async fn value(client: &tokio_postgres::Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap();
    messages
        .iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default()
}

/// A cluster of a test's own, with a server on a free port of 127.0.0.1.
pub(super) struct TcpServer {
    root: tempfile::TempDir,
    postgres: PathBuf,
    data: PathBuf,
    owner: (u32, u32),
    /// Where it listens.
    pub(super) port: u16,
    running: Option<Child>,
}

impl TcpServer {
    /// Makes the cluster, runs the statements in it and starts its server.
    pub(super) fn start(hba: &str, statements: &[&str], settings: &[String]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let embedded = EmbeddedServer::new(&root.path().join("fleet"));
        let lease = embedded.acquire().unwrap();
        let EmbeddedStatus::Running { pid, .. } = embedded.status().unwrap() else {
            panic!("not running");
        };
        let postgres = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        for statement in statements {
            let psql = Command::new("psql")
                // PostgreSQL 13 and older would make passwords that scram cannot check
                .env("PGOPTIONS", "-c password_encryption=scram-sha-256")
                .args([lease.url(), "-v", "ON_ERROR_STOP=1", "-qc", statement])
                .status();
            assert!(psql.unwrap().success(), "{statement}");
        }
        lease.release().unwrap();
        let data = root.path().join("fleet/postgres/data");
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();
        let metadata = std::fs::metadata(&data).unwrap();
        let mut server = Self {
            root,
            postgres,
            data,
            owner: (metadata.uid(), metadata.gid()),
            port: TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .unwrap()
                .port(),
            running: None,
        };
        server.restart(settings);
        server
    }

    /// A folder for files of the test.
    pub(super) fn folder(&self) -> &Path {
        self.root.path()
    }

    /// Gives a file to the server's user, who alone may read it.
    pub(super) fn hand_over(&self, file: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (uid, gid) = self.owner;
        std::os::unix::fs::chown(file, Some(uid), Some(gid)).unwrap();
    }

    /// Starts the server again with other settings.
    pub(super) fn restart(&mut self, settings: &[String]) {
        self.stop();
        let mut command = Command::new(&self.postgres);
        if rustix::process::geteuid().is_root() {
            command.uid(self.owner.0).gid(self.owner.1);
        }
        command.arg("-D").arg(&self.data).current_dir("/");
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
        ];
        for setting in own.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.root.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running = Some(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        let pid_file = self.data.join("postmaster.pid");
        while !std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")) {
            let log = std::fs::read_to_string(self.root.path().join("log")).unwrap();
            let ended = self.running.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server at once.
    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            let _ = child.wait();
        }
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that answers one connection's messages with a script, then closes. Gives its port.
pub(super) fn scripted(answers: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        for answer in answers {
            if stream.read(&mut buffer).is_err() || stream.write_all(&answer).is_err() {
                return;
            }
        }
        // the last answer has to be read before the end of the connection is seen
        let _ = stream.read(&mut buffer);
    });
    port
}
