//! Accounts of the operating system: who we are, and whom a server runs as.

use std::path::PathBuf;

/// One line of the password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The login name.
    pub(super) name: String,
    /// The number of the user.
    pub(super) uid: u32,
    /// The number of the user's first group.
    pub(super) gid: u32,
    /// The home directory.
    pub(super) home: PathBuf,
}

/// The login name that this process acts under, or its number where the password file has none.
pub fn os_user() -> String {
    Account::current().map_or_else(
        || format!("uid {}", rustix::process::geteuid().as_raw()),
        |account| account.name,
    )
}

impl Account {
    /// The account that this process acts as.
    pub(super) fn current() -> Option<Self> {
        Self::with_uid(rustix::process::geteuid().as_raw())
    }

    /// The account of a number.
    pub(super) fn with_uid(uid: u32) -> Option<Self> {
        Self::find(|account| account.uid == uid)
    }

    /// The account of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::find(|account| account.name == name)
    }

    fn find(is_meant: impl Fn(&Self) -> bool) -> Option<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        passwd.lines().filter_map(Self::parse).find(is_meant)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?.into();
        Some(Self {
            name,
            uid,
            gid,
            home,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_the_password_file() {
        let account =
            Account::parse("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/pg:/bin/bash")
                .unwrap();
        assert_eq!(account.name, "postgres");
        assert_eq!((account.uid, account.gid), (101, 104));
        assert_eq!(account.home, PathBuf::from("/var/lib/pg"));
        assert_eq!(Account::parse("+nisgroup"), None);
    }
}
