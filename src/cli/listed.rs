//! Tenants that are named one by one, on the command line or in a file: no patterns, and no name that leads nowhere.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use crate::tenant::TenantId;

/// Exactly these tenants.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct Listed {
    /// Exactly these tenants, as fleet failures --tenants-of prints them; takes all words behind it
    #[arg(long, value_name = "DATABASE/SCHEMA", num_args = 1.., value_parser = parse_tenant)]
    pub(super) only: Vec<TenantId>,

    /// Exactly the tenants of this file, one DATABASE/SCHEMA a line; - reads them from stdin
    #[arg(long, value_name = "FILE", value_parser = read_tenants)]
    pub(super) tenants_from: Option<TenantFile>,
}

/// A file that names tenants.
#[derive(Debug, Clone)]
pub(super) struct TenantFile {
    path: String,
    tenants: BTreeSet<TenantId>,
}

/// Names on a proposed command line at most.
const TYPED: usize = 20;

impl Listed {
    /// All of them; empty where tenants are not chosen in this way.
    pub(super) fn tenants(&self) -> BTreeSet<TenantId> {
        let from_file = self.tenants_from.iter().flat_map(|file| &file.tenants);
        self.only.iter().chain(from_file).cloned().collect()
    }

    /// The choice as it can be typed. What came from stdin is written out where it is short.
    pub(super) fn typed(&self) -> Vec<String> {
        let mut only: Vec<String> = self.only.iter().map(TenantId::to_word).collect();
        let mut typed = Vec::new();
        if let Some(file) = &self.tenants_from {
            if file.path == "-" && file.tenants.len() <= TYPED {
                only.extend(file.tenants.iter().map(TenantId::to_word));
            } else {
                typed.push(format!(
                    "--tenants-from {}",
                    crate::report::shell_word(&file.path)
                ));
            }
        }
        if !only.is_empty() {
            typed.push(format!("--only {}", only.join(" ")));
        }
        typed
    }
}

fn parse_tenant(word: &str) -> Result<TenantId, String> {
    TenantId::from_word(word).map_err(|invalid| invalid.to_string())
}

fn read_tenants(path: &str) -> Result<TenantFile, String> {
    let text = if path == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map(|_| text)
    } else {
        std::fs::read_to_string(PathBuf::from(path))
    };
    let text = text.map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(TenantFile {
        path: path.to_owned(),
        tenants: parse_lines(&text)?,
    })
}

/// One tenant a line; empty lines and lines that begin with `#` are passed over. A list that names nobody is
/// refused: it must not come to mean everybody.
fn parse_lines(text: &str) -> Result<BTreeSet<TenantId>, String> {
    let mut tenants = BTreeSet::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let tenant = parse_tenant(line)
            .map_err(|why| format!("line {}: {}: {why}", index + 1, line.escape_debug()))?;
        tenants.insert(tenant);
    }
    if tenants.is_empty() {
        return Err("it names no tenant".to_owned());
    }
    Ok(tenants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_tenant_a_line() {
        let words = |text| -> Result<Vec<String>, String> {
            Ok(parse_lines(text)?.iter().map(TenantId::to_word).collect())
        };
        assert_eq!(
            words("\u{feff}# who\r\nmain/b\r\n\n  main/it%27s a \nmain/b"),
            Ok(vec!["main/b".to_owned(), "main/it%27s%20a".to_owned()])
        );
        assert_eq!(words("# nobody\n\n"), Err("it names no tenant".to_owned()));
        assert_eq!(
            words("main/a\nacme"),
            Err("line 2: acme: write it as DATABASE/SCHEMA, such as main/acme".to_owned())
        );
    }
}
