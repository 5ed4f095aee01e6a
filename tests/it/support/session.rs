//! A connection for tests: blocking, text in and text out, panics with the statement that failed.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// One connection to a database.
pub(crate) struct Session {
    client: Client,
    runtime: Runtime,
}

impl Session {
    /// Connects under a name that nobody takes for one of fleet's own sessions.
    pub(crate) fn connect(url: &str) -> Self {
        Self::try_connect(url).unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
    }

    /// Connects, or says why it cannot.
    pub(crate) fn try_connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut config: Config = url.parse()?;
        config
            .application_name("test harness")
            .connect_timeout(Duration::from_secs(20));
        let client = runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            // its end shows as an error of the next statement
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        })?;
        Ok(Self { client, runtime })
    }

    /// Runs statements, several at once if need be.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        if let Err(error) = self.try_execute(sql) {
            panic!("{}\nin: {sql}", describe(&error));
        }
    }

    /// Runs statements that may fail.
    pub(crate) fn try_execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }

    /// Runs one statement by the extended protocol: Parse, Bind and Execute instead of one query.
    pub(crate) fn try_prepared(&self, sql: &str) -> Result<u64, tokio_postgres::Error> {
        self.runtime.block_on(self.client.execute(sql, &[]))
    }

    /// All rows of a query, as text.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self
            .runtime
            .block_on(self.client.simple_query(sql))
            .unwrap_or_else(|error| panic!("{}\nin: {sql}", describe(&error)));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|column| row.get(column).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }

    /// The first column of all rows, NULLs left out.
    #[track_caller]
    pub(crate) fn column<T: FromText>(&self, sql: &str) -> Vec<T> {
        self.rows(sql)
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten())
            .map(|text| parse(&text, sql))
            .collect()
    }

    /// The one value of a query that gives one.
    #[track_caller]
    pub(crate) fn query_one<T: FromText>(&self, sql: &str) -> T {
        let rows = self.rows(sql);
        match rows.as_slice() {
            [row] => match row.as_slice() {
                [Some(text)] => parse(text, sql),
                _ => panic!("not one value but {row:?}\nfrom: {sql}"),
            },
            _ => panic!("not one row but {}\nfrom: {sql}", rows.len()),
        }
    }

    /// The process id of its backend.
    pub(crate) fn pid(&self) -> i32 {
        self.query_one("SELECT pg_backend_pid()")
    }
}

/// Values as PostgreSQL writes them.
pub(crate) trait FromText: Sized {
    /// None if the text is none.
    fn from_text(text: &str) -> Option<Self>;
}

impl FromText for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromText for bool {
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "t" => Some(true),
            "f" => Some(false),
            _ => None,
        }
    }
}

macro_rules! numbers_from_text {
    ($($number:ty),*) => {$(
        impl FromText for $number {
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}
numbers_from_text!(i32, i64, u32, u64, usize, f64);

#[track_caller]
fn parse<T: FromText>(text: &str, sql: &str) -> T {
    T::from_text(text)
        .unwrap_or_else(|| panic!("{text:?} is no {}\nfrom: {sql}", std::any::type_name::<T>()))
}

/// An identifier, quoted.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |db| format!("{} {}", db.code().code(), db.message()),
    )
}
