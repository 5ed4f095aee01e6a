//! Row security over a set.

use super::*;

/// The files of a set; each finding's file, rule and text.
fn of_set(files: &[&str]) -> Vec<(usize, &'static str, String)> {
    let mut terms = isolation();
    terms.tenant_column = Some("tenant_id".to_owned());
    let paths: Vec<String> = (0..files.len()).map(|index| index.to_string()).collect();
    let scripts: Vec<Script<'_>> = files
        .iter()
        .zip(&paths)
        .map(|(text, path)| Script {
            path: Path::new(path),
            text,
            in_transaction: true,
            is_judged: true,
        })
        .collect();
    let findings = lint(&scripts, &terms).into_iter();
    findings
        .map(|finding| {
            let file = finding.path.to_str().unwrap().parse().unwrap();
            (file, finding.rule, finding.text)
        })
        .collect()
}

fn rules(files: &[&str]) -> Vec<&'static str> {
    of_set(files).into_iter().map(|(_, rule, _)| rule).collect()
}

const GUARDED: &str = "
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (tenant_id = current_setting('app.tenant')::int);
CREATE INDEX ON notes (tenant_id, made_at);
";

#[test]
fn a_shared_table_needs_row_security_a_policy_and_an_index() {
    let table = "CREATE TABLE notes (id int PRIMARY KEY, tenant_id int NOT NULL, made_at date);";
    let missing = [
        "row-security-missing",
        "policy-missing",
        "tenant-index-missing",
    ];
    assert_eq!(
        of_set(&[table]),
        missing.map(|rule| (0, rule, "notes".to_owned()))
    );
    assert_eq!(rules(&[table, GUARDED]), [""; 0]);
    let unforced = GUARDED.replace("ALTER TABLE notes FORCE ROW LEVEL SECURITY;", "");
    assert_eq!(rules(&[table, &unforced]), ["row-security-not-forced"]);
    let off = format!("{GUARDED} ALTER TABLE notes DISABLE ROW LEVEL SECURITY;");
    assert_eq!(rules(&[table, &off]), ["row-security-missing"]);
    let elsewhere = GUARDED.replace("tenant_id = current_setting('app.tenant')::int", "true");
    assert_eq!(rules(&[table, &elsewhere]), ["policy-missing"]);
    assert_eq!(rules(&[table, "DROP TABLE notes;"]), [""; 0]);
    assert_eq!(
        rules(&["CREATE TABLE plans (id int PRIMARY KEY, name text UNIQUE);"]),
        [""; 0]
    );
}

#[test]
fn the_column_may_come_later_and_the_table_may_be_renamed() {
    let set = [
        "CREATE TABLE memos (id int);",
        "ALTER TABLE memos ADD COLUMN tenant_id int;",
        "ALTER TABLE memos RENAME TO notes;",
    ];
    let found = of_set(&set);
    assert_eq!(found.len(), 3);
    assert!(
        found
            .iter()
            .all(|(file, _, text)| *file == 0 && text == "memos")
    );
    let guarded = [set[0], set[1], set[2], GUARDED];
    assert_eq!(rules(&guarded), [""; 0]);
}

#[test]
fn what_is_unique_is_unique_in_a_tenant() {
    let table = "CREATE TABLE notes (id int PRIMARY KEY, tenant_id int, name text UNIQUE, made_at date, UNIQUE (tenant_id, name));";
    assert_eq!(
        of_set(&[table, GUARDED]),
        [(0, "unique-not-per-tenant", "UNIQUE".to_owned())]
    );
    let later = "CREATE UNIQUE INDEX i ON notes (lower(name));";
    let table = table.replace("text UNIQUE", "text");
    assert_eq!(
        of_set(&[&table, GUARDED, later]),
        [(
            2,
            "unique-not-per-tenant",
            "CREATE UNIQUE INDEX i ON notes (lower(name))".to_owned()
        )]
    );
    let reference =
        "CREATE TABLE parts (tenant_id int PRIMARY KEY, note int REFERENCES notes (id));";
    assert!(rules(&[&table, GUARDED, reference]).contains(&"reference-not-per-tenant"));
}

#[test]
fn an_exception_stands_at_the_table() {
    let table = "-- fleet: allow row-security-missing read by everybody\n\
        -- fleet: allow policy-missing read by everybody\n\
        CREATE TABLE notes (id int, tenant_id int PRIMARY KEY);";
    assert_eq!(rules(&[table]), [""; 0]);
}
