//! Honest fleets: nothing is found.

use crate::support::assert_nothing_left;

use super::Guarded;

#[test]
fn a_fleet_with_a_role_for_each_tenant_and_shared_schemas_is_isolated() {
    let guarded = Guarded::new(&["acme", "globex", "initech"]);
    let document = guarded.look();
    assert_eq!(document["isolated"], true, "{document}");
    assert_eq!(document["totals"]["tenants"], 3);
    assert_eq!(
        document["not_looked_at"].as_array().map(Vec::len),
        Some(0),
        "{document}"
    );
    let run = guarded.fleet.fleet(&["verify", "--isolation"]);
    run.assert_code(0)
        .assert_stdout_has("✓ 3 tenants: no tenant reaches another");
    assert_nothing_left(guarded.db());
}

#[test]
fn odd_names_and_names_that_begin_alike_are_told_apart() {
    // `o` and `c` are aliases in the bodies of each tenant
    let names = [
        "acme",
        "acme_2",
        "Acme",
        "od\"d",
        "o",
        "c",
        "with space",
        "new",
        "a.b",
    ];
    let guarded = Guarded::new(&names);
    assert_eq!(guarded.findings(), Vec::<String>::new());

    guarded.execute("CREATE VIEW \"Acme\".v AS SELECT id FROM acme_2.customers");
    guarded.execute("CREATE VIEW \"od\"\"d\".v AS SELECT id FROM \"a.b\".customers");
    assert_eq!(
        guarded.findings(),
        [
            "view Acme > acme_2: view \"Acme\".v",
            "view od\"d > a.b: view \"od\"\"d\".v"
        ]
    );
}

#[test]
fn the_application_may_become_each_tenant_s_role() {
    let guarded = Guarded::new(&["acme", "globex"]);
    guarded.execute("GRANT P_acme_app, P_globex_app TO P_web");
    assert_eq!(guarded.findings(), Vec::<String>::new());
    // and a tenant's application role may be a member of that tenant's owner
    guarded.execute("GRANT P_acme_owner TO P_acme_app; REVOKE P_acme_app FROM P_web");
    assert_eq!(guarded.findings(), Vec::<String>::new());
}

#[test]
fn names_in_comments_columns_of_aliases_and_names_that_are_there_nowhere_are_no_reach() {
    let guarded = Guarded::new(&["acme", "o"]);
    guarded.execute(
        "CREATE FUNCTION acme.f() RETURNS int LANGUAGE plpgsql AS $$
         BEGIN
             -- o.customers is another tenant's
             /* SELECT * FROM o.orders */
             PERFORM o.id, o.name FROM acme.orders o WHERE o.customer > 1;
             EXECUTE 'SELECT o.id FROM orders o';
             RETURN 1;
         END $$",
    );
    assert_eq!(guarded.findings(), Vec::<String>::new());
}
