//! The settings of a session: in the startup packet, so that no query can come before them.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::Client;

use super::SessionOptions;

/// How soon a server notices that its client has died while a statement runs. Sooner than the next
/// run gives up its attempts at a tenant whose lock that statement holds (1.5 s by default).
const CLIENT_CHECK: &str = "1s";

/// The `options` of the startup packet: the URL's own first, ours after them, so that ours count.
///
/// Every setting that a role or a database may carry (`ALTER ROLE … SET`) and that would change
/// what a migration means or end it halfway is given its value here.
pub(super) fn startup_options(of_url: Option<&str>, options: &SessionOptions) -> String {
    let mut text = of_url.map(|own| format!("{own} ")).unwrap_or_default();
    let _ = write!(
        text,
        "-c search_path= -c lock_timeout={} -c statement_timeout={} \
         -c idle_in_transaction_session_timeout=0 -c client_min_messages=warning \
         -c default_transaction_isolation=read\\ committed -c standard_conforming_strings=on",
        milliseconds(options.lock_timeout),
        milliseconds(options.statement_timeout),
    );
    text
}

/// PostgreSQL's whole milliseconds; a time too short for one is not turned into "for ever".
fn milliseconds(duration: Duration) -> i32 {
    let whole = i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    if whole == 0 && !duration.is_zero() {
        1
    } else {
        whole
    }
}

/// Settings of newer servers: in the startup packet an older one would refuse the session for them.
/// Answers those that count inside a transaction and that the server took: `DISCARD ALL` forgets them.
///
/// Errors do not matter: not every platform knows the check of the client, a pooler may refuse any
/// of it, and a connection that is lost shows at its first use.
pub(super) async fn settle(client: &Client, server_version: Option<&str>) -> Vec<String> {
    let major = server_version.and_then(major_version).unwrap_or_default();
    if major < 14 {
        return Vec::new();
    }
    let mut settings = vec![format!("client_connection_check_interval='{CLIENT_CHECK}'")];
    if major >= 17 {
        settings.push("transaction_timeout=0".to_owned());
    }
    // messages of their own, so that one that is not known does not take the others with it, and sent
    // together, so that they cost one round trip
    let set = |setting: String| async move {
        let result = client.batch_execute(&format!("SET {setting}")).await;
        result.ok().map(|()| setting)
    };
    let (_, taken) = tokio::join!(
        set("idle_session_timeout=0".to_owned()),
        join_all(settings.into_iter().map(set)),
    );
    taken.into_iter().flatten().collect()
}

/// `15.18 (Debian 15.18-0+deb12u1)`, `17beta1`.
fn major_version(text: &str) -> Option<u32> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_settings_come_after_those_of_the_url() {
        let options = SessionOptions {
            application_name: "fleet test".into(),
            connect_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_micros(1),
        };
        let text = startup_options(Some("-c search_path=evil -c role=app"), &options);
        assert!(
            text.starts_with("-c search_path=evil -c role=app -c search_path= "),
            "{text}"
        );
        assert!(
            text.contains("-c lock_timeout=3000 -c statement_timeout=1 "),
            "{text}"
        );
    }

    #[test]
    fn versions_of_servers_are_read() {
        assert_eq!(major_version("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("17beta1"), Some(17));
        assert_eq!(major_version("CockroachDB"), None);
    }
}
