//! A connection URL, parsed and checked once, with libpq's defaults for what it leaves out.
//! Nothing that is printed shows the password.

mod defaults;
mod driver;
mod environment;
mod known;
mod passfile;
mod syntax;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use tokio_postgres_rustls::MakeRustlsConnect;

use self::environment::Environment;
use self::known::{Fate, fate};
use self::passfile::Wanted;
pub(super) use self::syntax::encode;
use super::tls::{TlsError, TlsSettings};

const DEFAULT_PORT: u16 = 5432;

/// Where a database is and how to get in. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionUrl(Arc<Parsed>);

struct Parsed {
    hosts: Vec<Host>,
    user: String,
    database: String,
    tls: TlsSettings,
    /// Read from files when first needed, and once: a cancel must not wait for a disk.
    connector: OnceLock<MakeRustlsConnect>,
    config: tokio_postgres::Config,
    ignored: Vec<String>,
}

/// One place to try, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    /// A name, an address, or the directory of a socket.
    name: String,
    /// An address that spares the look-up of the name.
    address: Option<IpAddr>,
    port: u16,
}

impl Host {
    fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// Why a text is no connection URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing there, as from a variable that is set and empty.
    #[error("the connection URL is empty")]
    Empty,
    /// Another product, or another driver's spelling.
    #[error("connection URL begins with {0}:// and not with postgresql://")]
    Scheme(String),
    /// It cannot be taken apart.
    #[error("connection URL: {0}")]
    Syntax(&'static str),
    /// A parameter that nobody knows.
    #[error("connection URL: unknown parameter {name}{}", did_you_mean(*.nearest))]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// A known one that is spelled alike.
        nearest: Option<&'static str>,
    },
    /// A parameter that libpq knows and this client cannot honour.
    #[error("connection URL: {parameter} is not supported: {why}")]
    Unsupported {
        /// The parameter.
        parameter: String,
        /// What to do.
        why: &'static str,
    },
    /// A value that the parameter cannot have.
    #[error("connection URL: {parameter}={value}: {why}")]
    BadValue {
        /// The parameter.
        parameter: &'static str,
        /// The value.
        value: String,
        /// What it may be.
        why: &'static str,
    },
    /// Neither the URL nor the surroundings name a user.
    #[error("connection URL names no user, and PGUSER is not set")]
    NoUser,
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

impl UrlError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Empty | Self::Scheme(_) => {
                Some("a URL looks like postgresql://user@host:5432/database?sslmode=require")
            }
            _ => None,
        }
    }
}

impl ConnectionUrl {
    /// Parses `postgres://`, `postgresql://` and `key=value` texts. What is missing comes from
    /// libpq's variables (`PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`, `PGPASSWORD`, `PGOPTIONS`,
    /// `PGSSLMODE`, …), the password file and the operating system.
    ///
    /// # Errors
    /// A text that does not parse, or a parameter that is unknown or cannot be honoured.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Self::parse_in(text, &Environment::of_process())
    }

    fn parse_in(text: &str, environment: &Environment) -> Result<Self, UrlError> {
        let mut parameters = syntax::parameters(text)?;
        let mut ignored = Vec::new();
        for name in parameters.keys() {
            if fate(name)? == Fate::Ignored {
                ignored.push(name.clone());
            }
        }
        // an empty value is libpq's "not given"
        parameters.retain(|_, value| !value.is_empty());
        defaults::from_variables(&mut parameters, environment);
        let hosts = defaults::hosts(&parameters, environment)?;
        let user = parameters
            .get("user")
            .or(environment.os_user.as_ref())
            .ok_or(UrlError::NoUser)?
            .clone();
        let database = parameters.get("dbname").unwrap_or(&user).clone();
        if !parameters.contains_key("password") {
            let wanted = Wanted {
                host: &hosts[0].name,
                port: hosts[0].port,
                database: &database,
                user: &user,
            };
            defaults::password_from_file(&mut parameters, environment, wanted, &mut ignored);
        }
        let over_network = hosts.iter().any(|host| !host.is_socket());
        let tls = TlsSettings::read(&parameters, environment.home.as_deref(), over_network)?;
        let mut config = driver::config(&parameters, &hosts, &tls)?;
        config.user(&user).dbname(&database);
        Ok(Self(Arc::new(Parsed {
            hosts,
            user,
            database,
            tls,
            connector: OnceLock::new(),
            config,
            ignored,
        })))
    }

    /// Parameters that were tolerated and have no effect, such as Prisma's `connection_limit`,
    /// and a password file that others can read.
    pub fn ignored(&self) -> &[String] {
        &self.0.ignored
    }

    /// The database's name on its server.
    pub fn database(&self) -> &str {
        &self.0.database
    }

    /// The role.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The URL without its password and parameters: `postgresql://app@db.example:5432/shop`.
    pub fn redacted(&self) -> String {
        let Parsed {
            hosts,
            user,
            database,
            ..
        } = &*self.0;
        let (user, database) = (encode(user), encode(database));
        if let [host] = hosts.as_slice()
            && host.is_socket()
        {
            let port = match host.port {
                DEFAULT_PORT => String::new(),
                port => format!("&port={port}"),
            };
            let directory = encode(&host.name).replace("%2F", "/");
            return format!("postgresql://{user}@/{database}?host={directory}{port}");
        }
        let places: Vec<String> = hosts.iter().map(place).collect();
        format!("postgresql://{user}@{}/{database}", places.join(","))
    }

    /// How many places there are to try.
    pub(super) fn host_count(&self) -> u32 {
        u32::try_from(self.0.hosts.len()).unwrap_or(u32::MAX)
    }

    /// The driver's form of it, without settings of a session.
    pub(super) fn config(&self) -> &tokio_postgres::Config {
        &self.0.config
    }

    /// The maker of TLS connections, with certificates read when it is first asked for.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, TlsError> {
        if let Some(connector) = self.0.connector.get() {
            return Ok(connector.clone());
        }
        let connector = self.0.tls.connector()?;
        Ok(self.0.connector.get_or_init(|| connector).clone())
    }
}

fn place(host: &Host) -> String {
    let name = if host.name.contains(':') {
        format!("[{}]", host.name)
    } else {
        encode(&host.name)
    };
    format!("{name}:{}", host.port)
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({})", self.redacted())
    }
}

#[cfg(test)]
mod tests;
