//! Hostile names are quoted everywhere; impossible ones refuse the whole list before anything is touched.

use serde_json::json;

use super::{listing, names, schemas};
use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, assert_nothing_left,
    assert_public_is_empty, assert_untouched,
};

const HOSTILE: [&str; 16] = [
    "we\"ird; drop schema x",
    "o'brien",
    "two words",
    "UPPER Case",
    "comma, comma",
    "Ünïcödé 日本 🦀",
    "back\\slash",
    "dollar$$quote$x$",
    "$USER",
    "tab\tand\nnewline",
    "--comment /* block */",
    "percent %s %I",
    "a.b/c",
    "glob*[ab]?{x}",
    "select",
    "sixty-three-bytes-sixty-three-bytes-sixty-three-bytes-sixty-thr",
];

/// F41: quotes, commas, spaces, control characters, 63 bytes.
#[test]
fn hostile_names_of_a_list_are_migrated_and_reported() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &HOSTILE);
    schemas(&db, &["x"]);
    let fleet = listing(&db, &json!(HOSTILE));

    let run = fleet.json(&["migrate"], 0);

    assert_eq!(names(&run), sorted());
    let all: Vec<String> = sorted().into_iter().map(str::to_owned).collect();
    assert_applied_exactly_once(&db, &all, &[1]);
    assert_public_is_empty(&db);
    assert_nothing_left(&db);
    let status = fleet.json(&["status"], 0);
    assert_eq!(status["totals"]["up_to_date"], HOSTILE.len());
    let recorded: usize =
        db.query_one("SELECT count(*) FROM fleet_control.tenants WHERE version = 1");
    assert_eq!(recorded, HOSTILE.len());
}

#[test]
fn hostile_names_are_found_by_a_pattern() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &HOSTILE);
    let fleet = TestFleet::new(&db).set("databases.0.tenants.schemas", json!(["*"]));
    assert_eq!(names(&fleet.json(&["tenants"], 0)), sorted());
}

#[test]
fn hostile_names_are_created_and_selected_one_by_one() {
    let db = TestDatabase::create(Server::A);
    let fleet = listing(&db, &json!(HOSTILE)).set("databases.0.tenants.create_missing", true);
    for name in HOSTILE {
        let run = fleet.json(&["migrate", &format!("--tenant={name}")], 0);
        assert_eq!(names(&run), [name]);
        assert_eq!(applied(&db, &[name.to_owned()])[name].probe, [1], "{name}");
    }
}

#[test]
fn hostile_names_that_fail_are_resumed() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &HOSTILE);
    let fleet = listing(&db, &json!(HOSTILE))
        .migration("V2__bad", "SELECT 1/0;\n")
        .set("rollout.same_failures", 0);
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["failures"][0]["count"], HOSTILE.len());
    fleet.write_migration("V2__bad", "INSERT INTO probe VALUES (2);\n");
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], HOSTILE.len());
}

#[test]
fn a_terminal_sees_no_control_characters_of_a_name() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["a\u{1b}[2Jb\nc"]);
    let fleet = listing(&db, &json!(["a\u{1b}[2Jb\nc"]));
    let run = fleet.fleet(&["migrate", "-v"]);
    run.assert_code(0);
    let seen = format!("{}{}", run.stdout, run.stderr);
    assert!(!seen.contains('\u{1b}'), "{run}");
    assert!(seen.contains("a\\u{1b}[2Jb\\nc"), "{run}");
}

#[test]
fn a_name_of_65_bytes_is_refused() {
    let name = "x".repeat(65);
    assert_refused(&["fine", &name], "PostgreSQL");
}

/// F41: names beyond 63 bytes, which PostgreSQL would cut.
#[test]
fn two_long_names_that_postgresql_would_make_one_are_refused() {
    let (one, two) = (
        format!("{}1", "x".repeat(63)),
        format!("{}2", "x".repeat(63)),
    );
    assert_refused(&[&one, &two], "two tenants could become one");
}

/// F41: `pg_…` and `information_schema`.
#[test]
fn names_that_postgresql_keeps_for_itself_are_refused() {
    assert_refused(&["pg_mine", "fine"], "reserved by PostgreSQL");
    assert_refused(&["information_schema"], "reserved by PostgreSQL");
}

/// F41: `$user`, which no search path can name.
#[test]
fn the_users_own_schema_in_a_search_path_is_refused() {
    assert_refused(&["$user"], "$user");
}

#[test]
fn the_control_schema_is_no_tenant() {
    assert_refused(&["fleet_control"], "control schema");
}

/// F41: no name at all.
#[test]
fn an_empty_name_is_refused() {
    assert_refused(&["fine", ""], "empty");
}

#[test]
fn a_duplicate_is_refused() {
    assert_refused(&["fine", "twice", "twice"], "twice");
}

/// F42: NULLs, duplicates and impossible names, each problem once.
#[test]
fn a_null_of_a_registry_is_refused() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["fine"]);
    let query = "SELECT unnest(ARRAY['fine', NULL, 'fine', 'pg_x']) AS schema";
    let fleet = TestFleet::new(&db)
        .set("databases.0.tenants", json!({ "query": query }))
        .probe_migrations(1..=1);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3)
        .assert_stderr_has("1 NULL: row 2")
        .assert_stderr_has("given more than once: \"fine\"")
        .assert_stderr_has("reserved by PostgreSQL: \"pg_x\"");
    let errors = run.stderr.matches("error:").count();
    assert_eq!(errors, 1, "all in one message\n{run}");
    assert!(
        applied(&db, &["fine".to_owned()])["fine"]
            .history
            .is_empty()
    );
}

/// A list, or a query, that names what cannot be a tenant: one message, exit 3, nothing touched.
#[track_caller]
fn assert_refused(names: &[&str], why: &str) {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["fine"]);
    let query = format!("SELECT unnest(ARRAY['{}']) AS schema", names.join("', '"));
    for source in [json!({ "list": names }), json!({ "query": query })] {
        let fleet = TestFleet::new(&db)
            .set("databases.0.tenants", source)
            .probe_migrations(1..=1);
        for command in ["plan", "migrate"] {
            let run = fleet.fleet(&[command]);
            run.assert_code(3).assert_stderr_has(why);
            assert_eq!(run.stderr.matches("error:").count(), 1, "{run}");
        }
    }
    assert_untouched(&db);
}

/// As reports list them: by name, byte by byte.
fn sorted() -> Vec<&'static str> {
    let mut names = HOSTILE.to_vec();
    names.sort_unstable();
    names
}
