//! What usually helps against a failure, by its SQLSTATE. Where experience says nothing, neither does this.

use crate::run::Failure;

/// What usually helps; None where there is nothing to say that the hint does not say already.
pub(super) fn advice(failure: &Failure) -> Option<&'static str> {
    let code = failure.sqlstate.as_deref()?;
    if failure.hint.is_some() && hint_says_it(code) {
        return None;
    }
    by_code(code).or_else(|| by_class(code.get(..2)?))
}

/// What these failures' hints, PostgreSQL's or fleet's, leave nothing to add to.
fn hint_says_it(code: &str) -> bool {
    matches!(code, "42501" | "57014" | "42804" | "42883")
}

fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        // unique_violation
        "23505" => {
            "find the rows that share a key in these tenants (SELECT … GROUP BY … HAVING count(*) > 1), merge or delete them, then resume"
        }
        // not_null_violation
        "23502" => {
            "fill the column where it is NULL in these tenants, then resume; a new NOT NULL column needs a DEFAULT where there are rows"
        }
        // foreign_key_violation
        "23503" => {
            "find the rows whose parent is missing in these tenants; add the parent, or delete them, then resume"
        }
        // check_violation
        "23514" => {
            "find the rows that break the rule (SELECT … WHERE NOT (…)) in these tenants and mend them, then resume"
        }
        // duplicate column, table, object, schema, function
        "42701" | "42P07" | "42710" | "42P06" | "42723" => {
            "somebody has made it in these tenants already: compare it with what the file makes, drop or rename it, then resume; IF NOT EXISTS would hide a difference"
        }
        // undefined table, column, object, function, schema
        "42P01" | "42703" | "42704" | "42883" | "3F000" => {
            "where other tenants got past it, these lack something: compare them with one that is done. Where none did, the name is wrong, or its schema is not in databases[].search_path"
        }
        // syntax_error
        "42601" => {
            "the same in every tenant: correct the file, if no tenant has it applied, then fleet migrate"
        }
        // insufficient_privilege
        "42501" => {
            "GRANT fleet's role what it lacks; to alter an object it has to own it, or be a member of the role that does"
        }
        // dependent_objects_still_exist
        "2BP01" => {
            "the detail names what depends on it: drop and make it again in the file, or by hand where only these tenants have it; CASCADE drops it without a word"
        }
        // lock_not_available, deadlock_detected
        "55P03" | "40P01" => {
            "resume when it is quieter; end or shorten what holds the lock, or raise execution.lock_timeout with care: whoever comes after a waiting ALTER TABLE waits too"
        }
        // serialization_failure
        "40001" => "resume: another try usually succeeds",
        // object_in_use: pending trigger events, among others
        "55006" => {
            "put changes of rows and changes of their table into two migrations, or SET CONSTRAINTS ALL IMMEDIATE between them"
        }
        // query_canceled
        "57014" => {
            "where it was a time limit: raise execution.statement_timeout, or SET LOCAL statement_timeout in the file; large changes of rows are better done in pieces"
        }
        // disk_full
        "53100" => {
            "free space on the server first: nothing else helps, and more tries make it worse"
        }
        // too_many_connections
        "53300" => {
            "lower databases[].max_connections, or raise the server's max_connections, then resume"
        }
        // read_only_sql_transaction
        "25006" => {
            "the session cannot write: does the url lead to the primary, and is default_transaction_read_only off?"
        }
        // admin_shutdown, crash_shutdown, cannot_connect_now
        "57P01" | "57P02" | "57P03" => "resume when the server is back; its log says why it went",
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => {
            "the server's data are damaged, not the migration: stop, keep a copy, read the server's log"
        }
        _ => return None,
    })
}

fn by_class(class: &str) -> Option<&'static str> {
    Some(match class {
        "08" => "resume when the network and the server are back",
        "22" => {
            "a value in these tenants does not fit the new type or expression: find it (SELECT … WHERE …), mend it, or convert it with USING, then resume"
        }
        "23" => {
            "find the rows that break the constraint in these tenants and mend them, then resume"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::FailureClass;

    fn of(code: Option<&str>, hint: Option<&str>) -> Option<&'static str> {
        advice(&Failure {
            sqlstate: code.map(str::to_owned),
            hint: hint.map(str::to_owned),
            ..Failure::new(FailureClass::Permanent, "it failed")
        })
    }

    #[test]
    fn a_code_goes_before_its_class() {
        assert!(of(Some("23505"), None).is_some_and(|text| text.contains("HAVING count")));
        assert_eq!(of(Some("23P01"), None), by_class("23"));
        assert!(of(Some("22001"), None).is_some_and(|text| text.contains("USING")));
    }

    #[test]
    fn there_is_nothing_where_nothing_is_known() {
        assert_eq!(of(None, None), None);
        // raised by somebody's own code, whose message says what there is to say
        assert_eq!(of(Some("P0001"), None), None);
        assert_eq!(of(Some("XX000"), None), None);
        assert_eq!(of(Some(""), None), None);
        assert_eq!(of(Some("€€"), None), None);
    }

    #[test]
    fn a_hint_is_not_said_twice() {
        assert!(of(Some("42501"), None).is_some());
        assert_eq!(of(Some("42501"), Some("GRANT it")), None);
        assert!(of(Some("23505"), Some("a hint")).is_some());
    }
}
