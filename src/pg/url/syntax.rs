//! The two spellings of a connection: `postgresql://…` and `key=value …`, taken apart as libpq does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::UrlError;

/// Parameters by name; the last of several with one name counts, as in libpq.
pub(super) type Parameters = BTreeMap<String, String>;

/// Takes either spelling apart. Errors never repeat what may be a part of a password.
pub(super) fn parameters(text: &str) -> Result<Parameters, UrlError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    for scheme in ["postgresql://", "postgres://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return url(rest);
        }
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(if is_plain_word(scheme) {
            UrlError::Scheme(scheme.to_owned())
        } else {
            UrlError::Syntax(EXPECTED)
        });
    }
    if !text.contains('=') {
        return Err(UrlError::Syntax(EXPECTED));
    }
    key_values(text)
}

const EXPECTED: &str = "expected postgresql://user@host:5432/database, or key=value pairs";
const ENCODE: &str = "the port is not a number from 1 to 65535; special characters in a user or password must be percent-encoded (`/` is %2F, `@` is %40, `#` is %23, `?` is %3F)";

fn is_plain_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | ':'))
}

fn url(rest: &str) -> Result<Parameters, UrlError> {
    let mut found = Parameters::new();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // the last `@`: an address never holds one, a password that was not encoded may
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        insert_unless_empty(&mut found, "user", &decode(user)?);
        if let Some(password) = password {
            insert_unless_empty(&mut found, "password", &decode(password)?);
        }
    }
    url_hosts(hosts, &mut found)?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, query),
        None => (rest, ""),
    };
    let database = path.strip_prefix('/').unwrap_or(path);
    insert_unless_empty(&mut found, "dbname", &decode(database)?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or(UrlError::Syntax("a parameter after `?` has no `=`"))?;
        let (key, value) = (decode(key)?, decode(value)?);
        // as libpq: JDBC's spelling
        let (key, value) = match (key.as_str(), value.as_str()) {
            ("ssl", "true") => ("sslmode".to_owned(), "require".to_owned()),
            _ => (key, value),
        };
        found.insert(key, value);
    }
    Ok(found)
}

fn url_hosts(text: &str, found: &mut Parameters) -> Result<(), UrlError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for one in text.split(',') {
        let (host, port) = match one.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest
                    .split_once(']')
                    .ok_or(UrlError::Syntax("an IPv6 address lacks its `]`"))?;
                let port = match after.strip_prefix(':') {
                    Some(port) => port,
                    None if after.is_empty() => "",
                    None => return Err(UrlError::Syntax(ENCODE)),
                };
                (address.to_owned(), port)
            }
            None => match one.split_once(':') {
                Some((host, port)) => (decode(host)?, port),
                None => (decode(one)?, ""),
            },
        };
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(UrlError::Syntax(ENCODE));
        }
        hosts.push(host);
        ports.push(port);
    }
    if ports.iter().any(|port| !port.is_empty()) {
        found.insert("port".into(), ports.join(","));
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        found.insert("host".into(), hosts.join(","));
    }
    Ok(())
}

fn insert_unless_empty(found: &mut Parameters, key: &str, value: &str) {
    if !value.is_empty() {
        found.insert(key.to_owned(), value.to_owned());
    }
}

fn key_values(text: &str) -> Result<Parameters, UrlError> {
    const NO_EQUALS: UrlError = UrlError::Syntax(
        "a keyword has no `=` after it; values with spaces want quotes: password='two words'",
    );
    let mut found = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .ok_or(NO_EQUALS)?;
        let (key, after) = rest.split_at(end);
        let after = after.trim_start().strip_prefix('=').ok_or(NO_EQUALS)?;
        let (value, after) = key_value(after.trim_start())?;
        found.insert(key.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(found)
}

/// One value with quotes and backslashes undone, and the text behind it.
fn key_value(text: &str) -> Result<(String, &str), UrlError> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(UrlError::Syntax("a quoted value lacks its closing quote"));
    }
    Ok((value, ""))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, UrlError> {
    const BROKEN: UrlError = UrlError::Syntax(
        "a `%` is not followed by two hexadecimal digits; a `%` of your own is written %25",
    );
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BROKEN);
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| BROKEN)?);
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(UrlError::Syntax(
            "percent-encoding that is not UTF-8, or a NUL byte",
        )),
    }
}

/// Percent-encodes all that could mean something in a URL.
pub(in crate::pg) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(text: &str, key: &str) -> Option<String> {
        parameters(text).unwrap().remove(key)
    }

    #[test]
    fn a_url_comes_apart() {
        let found = parameters("postgres://app:s%40crt@[::1]:5433,b/shop?sslmode=require").unwrap();
        let expected = [
            ("dbname", "shop"),
            ("host", "::1,b"),
            ("password", "s@crt"),
            ("port", "5433,"),
            ("sslmode", "require"),
            ("user", "app"),
        ];
        assert_eq!(
            found,
            expected
                .map(|(k, v)| (k.into(), v.into()))
                .into_iter()
                .collect()
        );
    }

    #[test]
    fn a_socket_directory_is_a_host() {
        let host = Some("/run/pg".to_owned());
        assert_eq!(get("postgresql://%2Frun%2Fpg/shop", "host"), host);
        assert_eq!(get("postgresql:///shop?host=/run/pg", "host"), host);
        assert_eq!(get("host=/run/pg dbname=shop", "host"), host);
    }

    #[test]
    fn an_at_sign_in_a_password_does_not_move_the_host() {
        assert_eq!(get("postgres://u:p@ss@h/d", "host").unwrap(), "h");
        assert_eq!(get("postgres://u:p@ss@h/d", "password").unwrap(), "p@ss");
    }

    #[test]
    fn pairs_come_apart_with_quotes_and_escapes() {
        let text = r"host = db password='it\'s a \\' user=a\ b dbname=''";
        assert_eq!(get(text, "password").unwrap(), r"it's a \");
        assert_eq!(get(text, "user").unwrap(), "a b");
        assert_eq!(get(text, "dbname").unwrap(), "");
    }

    #[test]
    fn errors_never_repeat_a_password() {
        for text in [
            "postgres://u:hunter2/x@h/d",
            "postgres://u:hunter2%zz@h/d",
            "postgres://u:hunter2#x@h:port/d",
            "host=h password=two hunter2",
            "password='hunter2",
            "hunter2",
            "u:hunter2@mysql://x",
        ] {
            let error = parameters(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn another_scheme_is_named() {
        let error = parameters("mysql://h/d").unwrap_err().to_string();
        assert!(error.contains("mysql://"), "{error}");
    }

    proptest! {
        #[test]
        fn encoding_can_be_undone(text in "\\PC{0,30}") {
            prop_assert_eq!(decode(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "\\PC{0,60}") {
            let _ = parameters(&text);
            let _ = parameters(&format!("postgres://{text}"));
        }
    }
}
