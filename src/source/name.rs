//! File names: what refinery takes for a migration, and in which way the others miss it.

use crate::migration::Version;

/// What the name column of a history table holds.
const LONGEST_NAME: usize = 255;

/// The name of a migration's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    /// Without `.sql`, as refinery wants it.
    pub(super) stem: String,
    /// The number behind the letter.
    pub(super) version: Version,
    /// Whether the letter is `U`.
    pub(super) out_of_order: bool,
}

/// Why a file name is not a migration's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadName {
    /// What is wrong.
    pub(super) problem: String,
    /// What to do about it.
    pub(super) hint: String,
}

/// Whether a file claims to be SQL.
pub(super) fn claims_sql(file_name: &str) -> bool {
    file_name.to_ascii_lowercase().ends_with(".sql")
}

/// Whether refinery would take a file for a migration written in Rust.
pub(super) fn is_rust_migration(file_name: &str) -> bool {
    file_name
        .strip_suffix(".rs")
        .is_some_and(|stem| parse(&format!("{stem}.sql")).is_ok())
}

/// Reads `V<version>__<name>.sql` or `U<version>__<name>.sql`.
pub(super) fn parse(file_name: &str) -> Result<FileName, BadName> {
    let Some(stem) = file_name.strip_suffix(".sql") else {
        return Err(bad(
            "the name does not end in lower-case .sql, so refinery would skip it",
            file_name,
        ));
    };
    let (out_of_order, rest) = match stem.split_at_checked(1) {
        Some(("V", rest)) => (false, rest),
        Some(("U", rest)) => (true, rest),
        Some(("v" | "u", _)) => {
            return Err(bad(
                "the name begins with a lower-case letter, so refinery would skip it",
                file_name,
            ));
        }
        _ => {
            return Err(bad(
                "the name does not begin with V or U and a version, so refinery would skip it",
                file_name,
            ));
        }
    };
    let digits_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(digits_end);
    let name = behind_underscores(digits, rest).map_err(|problem| bad(problem, file_name))?;
    let version = digits.parse().map_err(|_| BadName {
        problem: format!("version {digits} does not fit into 64 bits"),
        hint: format!("the highest version is {}", Version::MAX),
    })?;
    check_name(stem, name, file_name)?;
    Ok(FileName {
        stem: stem.to_owned(),
        version,
        out_of_order,
    })
}

/// The part behind the version and `__`.
fn behind_underscores<'a>(digits: &str, rest: &'a str) -> Result<&'a str, &'static str> {
    if digits.is_empty() {
        return Err("there is no version behind the first letter, so refinery would skip it");
    }
    match rest.strip_prefix("__") {
        Some("") => Err("there is no name behind the version, so refinery would skip it"),
        Some(name) => Ok(name),
        None if rest.starts_with('_') => {
            Err("one underscore behind the version instead of two, so refinery would skip it")
        }
        None if rest.starts_with('.') => Err(
            "the version has a dot, on which refinery refuses the whole directory; versions are whole numbers",
        ),
        None => Err("the version is not followed by two underscores, so refinery would skip it"),
    }
}

/// refinery keeps letters, digits and underscores, in its own view of Unicode, so it is asked.
fn check_name(stem: &str, name: &str, file_name: &str) -> Result<(), BadName> {
    let parsed = refinery_core::Migration::unapplied(stem, "").map_err(|error| BadName {
        problem: format!("refinery cannot read the name: {error}"),
        hint: renamed(file_name),
    })?;
    if parsed.name() != name {
        let odd = name[parsed.name().len().min(name.len())..].chars().next();
        let problem = match odd {
            Some('-') => "the name holds a hyphen, so refinery would skip it".to_owned(),
            Some('.') => "the name holds a dot, so refinery would skip it".to_owned(),
            Some(c) => format!("the name holds {c:?}, so refinery would skip it"),
            None => "refinery reads another name".to_owned(),
        };
        return Err(bad(&problem, file_name));
    }
    let length = name.chars().count();
    if length > LONGEST_NAME {
        return Err(BadName {
            problem: format!(
                "the name is {length} characters long; the history holds {LONGEST_NAME}"
            ),
            hint: "shorten it".to_owned(),
        });
    }
    Ok(())
}

fn bad(problem: &str, file_name: &str) -> BadName {
    BadName {
        problem: problem.to_owned(),
        hint: renamed(file_name),
    }
}

/// The form of a name, and this one in it where only letters have to change.
fn renamed(file_name: &str) -> String {
    let form = "names are V<version>__<name>.sql, with letters, digits and underscores";
    match suggestion(file_name) {
        Some(better) => format!("{form}: {better}"),
        None => form.to_owned(),
    }
}

fn suggestion(file_name: &str) -> Option<String> {
    let stem = file_name.get(..file_name.len().checked_sub(4)?)?;
    let (letter, rest) = match stem.split_at_checked(1)? {
        (letter @ ("v" | "V" | "u" | "U"), rest) => (letter.to_ascii_uppercase(), rest),
        _ => ("V".to_owned(), stem),
    };
    let digits_end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = rest.split_at(digits_end);
    // V8.1__x cannot become V8__1__x: that would be another version
    if digits.is_empty() || rest.starts_with('.') {
        return None;
    }
    let name: String = rest
        .trim_start_matches(|c: char| !c.is_alphanumeric())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let better = format!("{letter}{digits}__{name}.sql");
    (!name.is_empty() && better != file_name).then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_refinery_reads() {
        for (file_name, version, out_of_order) in [
            ("V1__a.sql", 1, false),
            ("U007__a_b__c.sql", 7, true),
            ("V0__zero.sql", 0, false),
            ("V20240504090241__1.sql", 20_240_504_090_241, false),
            ("V9223372036854775807___x.sql", i64::MAX, false),
            ("V1__caf\u{e9}.sql", 1, false),
        ] {
            let name = parse(file_name).unwrap();
            assert_eq!((name.version, name.out_of_order), (version, out_of_order));
            assert_eq!(format!("{}.sql", name.stem), file_name);
        }
    }

    #[test]
    fn names_that_it_skips_say_why_and_what_to_write() {
        for (file_name, problem, hint) in [
            ("V2__dash-name.sql", "hyphen", ": V2__dash_name.sql"),
            ("v3__lower.sql", "lower-case letter", ": V3__lower.sql"),
            ("V4__x.SQL", "lower-case .sql", ": V4__x.sql"),
            ("V5_x.sql", "one underscore", ": V5__x.sql"),
            ("V6-x.sql", "not followed by two", ": V6__x.sql"),
            ("V2__x.up.sql", "a dot", ": V2__x_up.sql"),
            ("V2__a b.sql", "' '", ": V2__a_b.sql"),
            ("V8.1__dot.sql", "whole numbers", "V<version>"),
            ("20240101_x.sql", "does not begin", ": V20240101__x.sql"),
            ("V__x.sql", "no version", "V<version>"),
            ("V9__.sql", "no name", "V<version>"),
            ("|1__x.sql", "does not begin", "V<version>"),
            ("schema.sql", "does not begin", "V<version>"),
            (".sql", "does not begin", "V<version>"),
            ("\u{e9}1__x.sql", "does not begin", "V<version>"),
            ("V9223372036854775808__x.sql", "64 bits", "highest"),
        ] {
            let why = parse(file_name).unwrap_err();
            assert!(why.problem.contains(problem), "{file_name}: {why:?}");
            assert!(why.hint.contains(hint), "{file_name}: {why:?}");
        }
        let long = parse(&format!("V1__{}.sql", "x".repeat(256))).unwrap_err();
        assert!(long.problem.contains("256"), "{long:?}");
        assert!(parse(&format!("V1__{}.sql", "x".repeat(255))).is_ok());
    }

    #[test]
    fn migrations_in_rust_are_recognised() {
        assert!(is_rust_migration("V1__x.rs"));
        assert!(!is_rust_migration("mod.rs"));
        assert!(!is_rust_migration("V1__x.sql"));
    }
}
