//! Tests with a real server, in folders of their own. They fail where PostgreSQL is not installed.

use std::process::Command;

use super::*;

/// A project folder whose server is stopped at the end, also when the test fails.
struct Project {
    root: tempfile::TempDir,
    dir: PathBuf,
}

impl Project {
    /// A folder that the server's user can reach, or one that it cannot.
    fn new(mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let dir = root.path().join("app/.fleet");
        Self { root, dir }
    }

    fn server(&self) -> EmbeddedServer {
        EmbeddedServer::new(&self.dir)
    }

    fn pid(&self) -> Option<u32> {
        match self.server().status().unwrap() {
            EmbeddedStatus::Running { pid, .. } => Some(pid),
            EmbeddedStatus::Stopped => None,
        }
    }

    fn data(&self) -> PathBuf {
        Place::existing(&self.dir.canonicalize().unwrap())
            .unwrap()
            .data()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.server().stop();
        if let Ok(home) = std::fs::read_to_string(self.dir.join("postgres.path")) {
            let _ = std::fs::remove_dir_all(home.trim());
        }
        let _ = self.root.path();
    }
}

/// Runs a query through our own connection and gives its first value.
fn query(url: &str, sql: &str) -> String {
    let url = super::super::ConnectionUrl::parse(url).unwrap();
    let options = super::super::SessionOptions {
        application_name: "fleet test".into(),
        connect_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(5),
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let session = super::super::connect(&url, &options).await.unwrap();
        let row = session.simple_query(sql).await.unwrap();
        let value = row.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        session.close().await;
        value.unwrap_or_default()
    })
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn commands_at_the_same_time_share_one_server_and_the_last_stops_it() {
    let project = Project::new(0o755);
    assert_eq!(project.server().running_url(), None);
    let leases: Vec<EmbeddedLease> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| project.server().acquire().unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let pid = project.pid().unwrap();
    for lease in &leases {
        assert_eq!(lease.url(), leases[0].url());
        assert_eq!(query(lease.url(), "SHOW listen_addresses"), "");
    }
    assert_eq!(query(leases[0].url(), "SHOW fsync"), "on");
    assert_eq!(query(leases[0].url(), "SHOW server_encoding"), "UTF8");
    let psql = Command::new("psql")
        .arg(leases[0].url())
        .args(["-Atc", "SELECT 7"])
        .output();
    assert_eq!(psql.unwrap().stdout, b"7\n");

    assert!(matches!(project.server().stop(), Err(EmbeddedError::InUse)));
    let mut leases = leases.into_iter();
    leases.next().unwrap().release().unwrap();
    drop(leases.next());
    assert_eq!(project.pid(), Some(pid), "one user is left");
    leases.next().unwrap().release().unwrap();
    assert_eq!(project.pid(), None, "the last user has gone");
    assert!(!project.server().stop().unwrap());
}

#[test]
fn a_server_that_was_killed_is_no_obstacle_and_loses_nothing() {
    let project = Project::new(0o755);
    let lease = project.server().acquire().unwrap();
    query(
        lease.url(),
        "CREATE TABLE public.kept AS SELECT 42 AS answer",
    );
    let first = project.pid().unwrap();
    kill(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    while project.pid().is_some() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    assert_eq!(project.pid(), None);

    // its pid file is still there; a second command starts the server again for both
    let second = project.server().acquire().unwrap();
    assert_ne!(project.pid(), Some(first));
    assert_eq!(query(lease.url(), "SELECT answer FROM public.kept"), "42");
    drop(second);
    drop(lease);
    assert_eq!(project.pid(), None);

    // the number was used again by somebody else, a process of the server's own user
    let mut stranger = Command::new("sleep");
    if let Some(account) = super::super::account::Account::named("postgres")
        && rustix::process::geteuid().is_root()
    {
        std::os::unix::process::CommandExt::uid(&mut stranger, account.uid);
    }
    let mut stranger = stranger.arg("100").spawn().unwrap();
    let data = project.data();
    let socket_dir = data.parent().unwrap().join("run");
    let remains = format!(
        "{}\n{}\n1\n5432\n{}\n",
        stranger.id(),
        data.display(),
        socket_dir.display()
    );
    std::fs::write(data.join("postmaster.pid"), &remains).unwrap();
    std::fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &remains).unwrap();
    let lease = project.server().acquire();
    let still_there = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(
        query(lease.unwrap().url(), "SELECT answer FROM public.kept"),
        "42"
    );
    assert!(still_there, "the stranger was not touched");
}

#[test]
fn a_kept_server_outlives_its_users_and_one_without_users_is_taken_over() {
    let project = Project::new(0o755);
    let url = project.server().start().unwrap();
    let pid = project.pid().unwrap();
    let lease = project.server().acquire().unwrap();
    assert_eq!(lease.url(), url);
    lease.release().unwrap();
    assert_eq!(project.pid(), Some(pid), "kept");
    let backend = query(&url, "SELECT pg_backend_pid()")
        .parse::<u32>()
        .unwrap();
    assert_ne!(backend, pid);
    let lock = open(&project.dir.join("server.lock")).unwrap();
    assert!(lock.try_lock().is_err(), "held by the server");

    // as a command that was killed leaves it: running, not kept, without users
    std::fs::remove_file(project.dir.join("keep")).unwrap();
    let lease = project.server().acquire().unwrap();
    assert_eq!(project.pid(), Some(pid), "found");
    lease.release().unwrap();
    assert_eq!(project.pid(), None);
}

#[test]
fn a_project_that_the_servers_user_cannot_reach_still_has_a_server() {
    let project = Project::new(0o700);
    let lease = project.server().acquire().unwrap();
    let home = project.data().parent().unwrap().to_owned();
    if rustix::process::geteuid().is_root() {
        assert!(home.starts_with("/var/tmp"), "{}", home.display());
    }
    query(
        lease.url(),
        "CREATE TABLE public.kept AS SELECT 42 AS answer",
    );
    drop(lease);
    assert_eq!(project.pid(), None);
    let lease = project.server().acquire().unwrap();
    assert_eq!(
        query(lease.url(), "SELECT answer FROM public.kept"),
        "42",
        "found again"
    );
    drop(lease);
    std::fs::remove_dir_all(&project.dir).unwrap();
    let lease = project.server().acquire().unwrap();
    assert_eq!(
        query(
            lease.url(),
            "SELECT pg_catalog.to_regclass('public.kept') IS NULL"
        ),
        "t",
        "whoever removes the folder removes the data"
    );
}

#[test]
fn a_half_made_cluster_is_made_again() {
    let project = Project::new(0o755);
    std::fs::create_dir_all(&project.dir).unwrap();
    let dir = project.dir.canonicalize().unwrap();
    let unfinished = Place::prepare(&dir).unwrap().unfinished_data();
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    let lease = project.server().acquire().unwrap();
    assert_eq!(query(lease.url(), "SELECT 1"), "1");
    assert!(!unfinished.exists());
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let project = Project::new(0o755);
    drop(project.server().acquire().unwrap());
    let conf = project.data().join("postgresql.conf");
    std::fs::write(&conf, "shared_buffers = 'nonsense'\n").unwrap();
    let error = project.server().acquire().unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
    assert_eq!(project.pid(), None);
}

#[test]
fn a_deep_project_gets_a_short_socket() {
    let project = Project::new(0o755);
    let deep = project.root.path().join("d".repeat(100)).join(".fleet");
    let server = EmbeddedServer::new(&deep);
    let lease = server.acquire().unwrap();
    assert_eq!(query(lease.url(), "SELECT 1"), "1");
    let socket_dir = query(lease.url(), "SHOW unix_socket_directories");
    drop(lease);
    assert_eq!(server.running_url(), None);
    let socket_dir = PathBuf::from(socket_dir.trim_matches('"'));
    assert!(socket_dir.starts_with("/tmp"), "{}", socket_dir.display());
    std::fs::remove_dir(socket_dir).unwrap();
}
