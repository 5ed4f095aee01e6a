//! TLS as libpq does it: what a mode promises, which certificates count, and why a handshake failed.

mod verifier;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::verifier::{AnyCertificate, Check, TrustedCertificate};
use super::UrlError;

/// What a connection promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    /// Plain text.
    Disable,
    /// Encrypted where the server can; `allow` is treated the same.
    Prefer,
    /// Encrypted, to whoever answers.
    Require,
    /// Encrypted, to somebody whom a root vouches for.
    VerifyCa,
    /// Encrypted, to the host that was asked for.
    VerifyFull,
}

/// Whose word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Roots {
    /// A file of certificates.
    File(PathBuf),
    /// The operating system's.
    System,
    /// Nobody's.
    None,
}

/// All that a URL says about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsSettings {
    /// What is promised.
    pub(super) mode: TlsMode,
    /// Whether the handshake comes without PostgreSQL's question before it.
    pub(super) direct: bool,
    roots: Roots,
    /// The client's certificate and key.
    identity: Option<(PathBuf, PathBuf)>,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or holds something else.
    #[error("{what} {}: {reason}", path.display())]
    File {
        /// What the file should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checking mode without anything to check against.
    #[error(
        "sslmode verifies the server's certificate, but no root certificate is given and ~/.postgresql/root.crt does not exist"
    )]
    NoRoots,
    /// The operating system has no root certificates.
    #[error("the operating system has no root certificates: {0}")]
    NoSystemRoots(String),
    /// The TLS library does not take what was given.
    #[error(transparent)]
    Library(#[from] rustls::Error),
}

impl TlsError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoRoots => Some("give sslrootcert=FILE, or sslrootcert=system"),
            Self::NoSystemRoots(_) => {
                Some("install the ca-certificates package, or give sslrootcert=FILE")
            }
            Self::File { .. } | Self::Library(_) => None,
        }
    }
}

/// What helps against a failed handshake.
pub(super) fn handshake_hint(error: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(why) = error else {
        return None;
    };
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some(
                "the certificate needs this host as a subjectAltName; sslmode=verify-ca does not look at names",
            )
        }
        CertificateError::UnknownIssuer => {
            Some("give the certificate that signed it as sslrootcert")
        }
        _ => None,
    }
}

impl TlsSettings {
    /// Reads the parameters. Sockets have no TLS, whatever is asked for, as in libpq.
    pub(super) fn read(
        parameters: &std::collections::BTreeMap<String, String>,
        home: Option<&Path>,
        over_network: bool,
    ) -> Result<Self, UrlError> {
        let get = |name: &str| parameters.get(name).map(String::as_str);
        let wants_system_roots = get("sslrootcert") == Some("system");
        let mode = match get("sslmode") {
            Some(text) => parse_mode(text)?,
            None if wants_system_roots => TlsMode::VerifyFull,
            None => TlsMode::Prefer,
        };
        if wants_system_roots && mode != TlsMode::VerifyFull {
            return Err(UrlError::BadValue {
                parameter: "sslmode",
                value: get("sslmode").unwrap_or_default().to_owned(),
                why: "sslrootcert=system wants verify-full: anybody can get a certificate that it trusts",
            });
        }
        let direct = match get("sslnegotiation") {
            None | Some("postgres") => false,
            Some("direct") if mode >= TlsMode::Require => true,
            Some(other) => {
                return Err(UrlError::BadValue {
                    parameter: "sslnegotiation",
                    value: other.to_owned(),
                    why: "postgres, or direct with sslmode=require or stronger",
                });
            }
        };
        let default_file = |name: &str| {
            let path = home?.join(".postgresql").join(name);
            path.is_file().then_some(path)
        };
        let roots = match get("sslrootcert") {
            Some("system") => Roots::System,
            Some(path) => Roots::File(path.into()),
            None => default_file("root.crt").map_or(Roots::None, Roots::File),
        };
        let certificate = get("sslcert")
            .map(PathBuf::from)
            .or_else(|| default_file("postgresql.crt"));
        let key = get("sslkey")
            .map(PathBuf::from)
            .or_else(|| default_file("postgresql.key"));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) if get("sslcert").is_some() => {
                return Err(UrlError::Unsupported {
                    parameter: "sslcert without sslkey".to_owned(),
                    why: "a client's certificate needs its key; the server's root certificate (Prisma's sslcert) is called sslrootcert",
                });
            }
            _ => None,
        };
        Ok(Self {
            mode: if over_network { mode } else { TlsMode::Disable },
            direct: direct && over_network,
            roots,
            identity,
        })
    }

    /// Makes the driver's connector, with all files read.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous();
        let builder = match self.check() {
            None => {
                builder.with_custom_certificate_verifier(Arc::new(AnyCertificate::new(&provider)))
            }
            Some(check) => {
                let verifier = self.trusting(&provider, check)?;
                builder.with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match &self.identity {
            // read only where it can be used
            Some((certificate, key)) if self.mode != TlsMode::Disable => builder
                .with_client_auth_cert(certificates(certificate, "sslcert")?, private_key(key)?)?,
            _ => builder.with_no_client_auth(),
        };
        if self.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(MakeRustlsConnect::new(config))
    }

    /// What of a certificate is checked. A root certificate makes `require` check, as in libpq.
    fn check(&self) -> Option<Check> {
        match self.mode {
            TlsMode::Disable | TlsMode::Prefer => None,
            TlsMode::Require => (self.roots != Roots::None).then_some(Check::Chain),
            TlsMode::VerifyCa => Some(Check::Chain),
            TlsMode::VerifyFull => Some(Check::ChainAndName),
        }
    }

    fn trusting(
        &self,
        provider: &Arc<CryptoProvider>,
        check: Check,
    ) -> Result<TrustedCertificate, TlsError> {
        let pinned = match &self.roots {
            Roots::None => return Err(TlsError::NoRoots),
            Roots::File(path) => certificates(path, "sslrootcert")?,
            Roots::System => system_certificates()?,
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(pinned.iter().cloned());
        // a certificate that cannot be a root (version 1, say) can still be pinned
        let chain = (!store.is_empty())
            .then(|| {
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
                    .build()
            })
            .transpose()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(TrustedCertificate::new(provider, chain, pinned, check))
    }
}

fn parse_mode(text: &str) -> Result<TlsMode, UrlError> {
    Ok(match text {
        "disable" => TlsMode::Disable,
        "allow" | "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        other => {
            return Err(UrlError::BadValue {
                parameter: "sslmode",
                value: other.to_owned(),
                why: "disable, allow, prefer, require, verify-ca or verify-full",
            });
        }
    })
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |reason: String| TlsError::File {
        what,
        path: path.to_owned(),
        reason,
    };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| broken(super::sqlstate::chain(&error)))?;
    if found.is_empty() {
        return Err(broken("holds no certificate in PEM form".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        what: "sslkey",
        path: path.to_owned(),
        reason: format!("{error}; a key with a passphrase cannot be used"),
    })
}

fn system_certificates() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemRoots(reasons.join("; ")));
    }
    Ok(found.certs)
}

#[cfg(test)]
mod tests;
