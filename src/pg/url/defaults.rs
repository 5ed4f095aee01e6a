//! What a URL leaves out: libpq's variables, the password file, the usual host.

use std::path::PathBuf;

use super::environment::Environment;
use super::passfile::{self, Wanted};
use super::syntax::Parameters;
use super::{Host, UrlError, driver};

/// Takes libpq's variables for what the URL leaves out.
pub(super) fn from_variables(parameters: &mut Parameters, environment: &Environment) {
    // a port of the surroundings belongs to the host of the surroundings
    let has_host = parameters.contains_key("host") || parameters.contains_key("hostaddr");
    for (name, variable) in [
        ("host", "PGHOST"),
        ("port", "PGPORT"),
        ("dbname", "PGDATABASE"),
        ("user", "PGUSER"),
        ("password", "PGPASSWORD"),
        ("options", "PGOPTIONS"),
        ("sslmode", "PGSSLMODE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslcert", "PGSSLCERT"),
        ("sslkey", "PGSSLKEY"),
        ("passfile", "PGPASSFILE"),
    ] {
        if has_host && matches!(name, "host" | "port") || parameters.contains_key(name) {
            continue;
        }
        if let Some(value) = environment.variable(variable) {
            parameters.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Looks the password up where neither URL nor variables give one.
pub(super) fn password_from_file(
    parameters: &mut Parameters,
    environment: &Environment,
    wanted: Wanted<'_>,
    ignored: &mut Vec<String>,
) {
    let path = match parameters.get("passfile") {
        Some(path) => PathBuf::from(path),
        None => match &environment.home {
            Some(home) => home.join(".pgpass"),
            None => return,
        },
    };
    match passfile::look_up(&path, wanted) {
        passfile::Found::Password(password) => {
            parameters.insert("password".to_owned(), password);
        }
        passfile::Found::TooOpen => ignored.push(format!(
            "{} (others can read it: chmod 0600)",
            path.display()
        )),
        passfile::Found::Nothing => {}
    }
}

/// The places to try, in order.
pub(super) fn hosts(
    parameters: &Parameters,
    environment: &Environment,
) -> Result<Vec<Host>, UrlError> {
    let list = |name: &str| -> Vec<&str> {
        parameters
            .get(name)
            .map(|text| text.split(',').map(str::trim).collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    if names.len() > 1 && addresses.len() > 1 && names.len() != addresses.len() {
        return Err(UrlError::Syntax("host and hostaddr differ in number"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(UrlError::Syntax("host and port differ in number"));
    }
    (0..count)
        .map(|at| {
            let given = |text: &&&str| !text.is_empty();
            let address = addresses.get(at).filter(given);
            let address = address.map(|text| driver::address(text)).transpose()?;
            let port = ports.get(at).or(ports.first()).copied();
            Ok(Host {
                name: names
                    .get(at)
                    .filter(given)
                    .map(|name| (*name).to_owned())
                    // an address alone is its own name, also for a certificate
                    .or_else(|| address.map(|address| address.to_string()))
                    .unwrap_or_else(|| default_host(environment)),
                address,
                port: driver::port(port.unwrap_or_default())?,
            })
        })
        .collect()
}

fn default_host(environment: &Environment) -> String {
    match &environment.socket {
        Some(directory) => directory.display().to_string(),
        None => "localhost".to_owned(),
    }
}
