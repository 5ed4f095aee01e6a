//! A URL's parameters as the driver's configuration: names that both know, values checked here.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs,
};

use super::syntax::Parameters;
use super::{DEFAULT_PORT, Host, UrlError};
use crate::pg::tls::{TlsMode, TlsSettings};

/// An idle connection is asked whether it is still there after this time, then every
/// [`KEEPALIVE_INTERVAL`]; a URL can say otherwise.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent data may go unacknowledged before the connection counts as lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_mins(1);

/// The driver's configuration; user, database and session settings are added by the caller.
pub(super) fn config(
    parameters: &Parameters,
    hosts: &[Host],
    tls: &TlsSettings,
) -> Result<Config, UrlError> {
    let get = |name: &str| parameters.get(name).map(String::as_str);
    let mut config = Config::new();
    let all_addressed = hosts.iter().all(|host| host.address.is_some());
    for host in hosts {
        // the driver wants an address for all hosts or none; a lone address goes in as the host
        match (host.address, all_addressed) {
            (Some(address), true) => config.host(&host.name).hostaddr(address),
            (Some(address), false) => config.host(address.to_string()),
            (None, _) => config.host(&host.name),
        };
        config.port(host.port);
    }
    if let Some(password) = get("password") {
        config.password(password);
    }
    if let Some(options) = get("options") {
        config.options(options);
    }
    config.ssl_mode(match tls.mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    });
    if tls.direct {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    refuse_encodings_and_gss(get("client_encoding"), get("gssencmode"))?;
    network(&mut config, &get)?;
    session(&mut config, &get)?;
    Ok(config)
}

fn network<'a>(
    config: &mut Config,
    get: &impl Fn(&'static str) -> Option<&'a str>,
) -> Result<(), UrlError> {
    let number = |name: &'static str| get(name).map(|text| whole_number(name, text)).transpose();
    let seconds =
        |name| Ok::<_, UrlError>(number(name)?.filter(|n| *n > 0).map(Duration::from_secs));
    config.keepalives(number("keepalives")? != Some(0));
    config.keepalives_idle(seconds("keepalives_idle")?.unwrap_or(KEEPALIVE_IDLE));
    config.keepalives_interval(seconds("keepalives_interval")?.unwrap_or(KEEPALIVE_INTERVAL));
    let retries = number("keepalives_count")?.filter(|n| *n > 0);
    config.keepalives_retries(
        retries.map_or(KEEPALIVE_RETRIES, |n| u32::try_from(n).unwrap_or(u32::MAX)),
    );
    // milliseconds as in libpq, though the driver's own parser takes seconds
    let user_timeout = number("tcp_user_timeout")?.filter(|n| *n > 0);
    config.tcp_user_timeout(user_timeout.map_or(TCP_USER_TIMEOUT, Duration::from_millis));
    if let Some(timeout) = seconds("connect_timeout")? {
        config.connect_timeout(timeout);
    }
    Ok(())
}

fn session<'a>(
    config: &mut Config,
    get: &impl Fn(&'static str) -> Option<&'a str>,
) -> Result<(), UrlError> {
    let bad = |parameter, value: &str, why| {
        Err(UrlError::BadValue {
            parameter,
            value: value.to_owned(),
            why,
        })
    };
    match get("target_session_attrs") {
        None | Some("any") => {}
        Some("read-write" | "primary") => {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Some(other) => {
            let why = "migrations write: any, read-write or primary";
            return bad("target_session_attrs", other, why);
        }
    }
    config.channel_binding(match get("channel_binding") {
        None | Some("prefer") => ChannelBinding::Prefer,
        Some("disable") => ChannelBinding::Disable,
        Some("require") => ChannelBinding::Require,
        Some(other) => return bad("channel_binding", other, "disable, prefer or require"),
    });
    config.load_balance_hosts(match get("load_balance_hosts") {
        None | Some("disable") => LoadBalanceHosts::Disable,
        Some("random") => LoadBalanceHosts::Random,
        Some(other) => return bad("load_balance_hosts", other, "disable or random"),
    });
    Ok(())
}

fn refuse_encodings_and_gss(encoding: Option<&str>, gss: Option<&str>) -> Result<(), UrlError> {
    if let Some(encoding) = encoding {
        let plain = encoding.to_ascii_lowercase().replace('-', "");
        if !matches!(plain.as_str(), "utf8" | "unicode" | "auto") {
            return Err(UrlError::BadValue {
                parameter: "client_encoding",
                value: encoding.to_owned(),
                why: "this client speaks UTF8 only",
            });
        }
    }
    match gss {
        None | Some("disable" | "prefer") => Ok(()),
        Some(other) => Err(UrlError::BadValue {
            parameter: "gssencmode",
            value: other.to_owned(),
            why: "GSSAPI is not spoken here: disable or prefer",
        }),
    }
}

fn whole_number(parameter: &'static str, text: &str) -> Result<u64, UrlError> {
    text.trim().parse().map_err(|_| UrlError::BadValue {
        parameter,
        value: text.to_owned(),
        why: "expected a whole number",
    })
}

/// A `hostaddr`.
pub(super) fn address(text: &str) -> Result<IpAddr, UrlError> {
    text.parse().map_err(|_| UrlError::BadValue {
        parameter: "hostaddr",
        value: text.to_owned(),
        why: "expected an IP address",
    })
}

/// A port; the empty text is the default.
pub(super) fn port(text: &str) -> Result<u16, UrlError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| UrlError::BadValue {
            parameter: "port",
            value: text.to_owned(),
            why: "expected a number from 1 to 65535",
        })
}
