//! Every parameter that a URL may carry: ours to act on, harmless to ignore, or refused with a reason.

use super::UrlError;

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Acted on.
    Used,
    /// Has no meaning for a migration; listed by `ConnectionUrl::ignored`.
    Ignored,
    /// Ignored and not worth a word.
    Silent,
}

const USED: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "gssencmode",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "options",
    "passfile",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters of Prisma, sqlx and node-postgres that steer their pools, and of libpq that steer
/// what this client never does. `application_name` is always ours: other runs look for it.
const IGNORED: &[&str] = &[
    "application_name",
    "connection_limit",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "single_use_connections",
    "socket_timeout",
    "sslaccept",
    "sslcompression",
    "sslidentity",
    "sslpassword",
    "sslsni",
    "statement_cache_capacity",
    "statement_cache_size",
    "uselibpqcompat",
];

/// Parameters of libpq that ask for a check or a mode that is not made here: dropping them in
/// silence would be less than was asked for.
const REFUSED: &[(&str, &str)] = &[
    ("service", "write the service's settings into the URL"),
    ("servicefile", "write the service's settings into the URL"),
    ("replication", "migrations need an ordinary session"),
    ("sslcrl", "revocation lists are not checked here"),
    ("sslcrldir", "revocation lists are not checked here"),
    ("sslcertmode", "leave it out"),
    ("requiressl", "write sslmode=require"),
    ("requirepeer", "the owner of a socket is not checked here"),
    (
        "require_auth",
        "the method of authentication is not checked here; channel_binding=require is",
    ),
    (
        "ssl_min_protocol_version",
        "TLS 1.2 is the least that is spoken here",
    ),
    (
        "ssl_max_protocol_version",
        "TLS 1.2 and 1.3 are spoken here",
    ),
    ("min_protocol_version", "protocol 3.0 is spoken here"),
    ("max_protocol_version", "protocol 3.0 is spoken here"),
];

/// Looks a parameter up.
pub(super) fn fate(name: &str) -> Result<Fate, UrlError> {
    if USED.contains(&name) {
        return Ok(Fate::Used);
    }
    if IGNORED.contains(&name) {
        return Ok(Fate::Ignored);
    }
    if name == "fallback_application_name" {
        return Ok(Fate::Silent);
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(UrlError::Unsupported {
            parameter: name.to_owned(),
            why,
        });
    }
    // a part of a password that was not quoted may end up here: only what looks like a name is shown
    let looks_like_a_name = name.len() <= 40
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !looks_like_a_name {
        return Err(UrlError::Syntax(
            "a parameter's name holds characters that no name has",
        ));
    }
    let nearest = USED
        .iter()
        .map(|known| (strsim::osa_distance(known, name), *known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| known);
    Err(UrlError::UnknownParameter {
        name: name.to_owned(),
        nearest,
    })
}
