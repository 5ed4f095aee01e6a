//! Memberships: who can act as whom.

use super::*;

fn role(oid: u32, name: &str) -> RoleFacts {
    RoleFacts {
        oid,
        name: name.to_owned(),
        is_superuser: false,
        bypasses_row_security: false,
        can_become_any: false,
        owns_database: false,
    }
}

fn schema(name: &str) -> SchemaName {
    SchemaName::parse(name).unwrap()
}

fn principal(role: &str, tenant: &str, is_application: bool) -> Principal {
    Principal {
        role: RoleName::parse(role).unwrap(),
        tenant: schema(tenant),
        is_application,
    }
}

/// The roles are numbered from 1 in the order of their names here.
fn fleet(memberships: &[(u32, u32)]) -> Standings {
    let names = ["acme_owner", "globex_owner", "web_acme", "staff", "web"];
    let facts: Vec<RoleFacts> = (1..)
        .zip(names)
        .map(|(oid, name)| role(oid, name))
        .collect();
    let memberships: Vec<Membership> = memberships
        .iter()
        .map(|&(role, member)| Membership { role, member })
        .collect();
    let principals = [
        principal("acme_owner", "acme", false),
        principal("globex_owner", "globex", false),
        principal("web_acme", "acme", true),
        principal("not_there", "globex", true),
    ];
    Standings::of(
        &facts,
        &memberships,
        &principals,
        &[RoleName::parse("web").unwrap()],
    )
}

fn mine(standings: &Standings, oid: u32) -> Option<&str> {
    standings
        .roles
        .get(&oid)?
        .mine
        .as_ref()
        .map(SchemaName::as_str)
}

#[test]
fn a_role_of_one_tenant_is_that_tenant_s() {
    // acme's application role is a member of acme's owner, and of a role that nobody else is in
    let standings = fleet(&[(1, 3), (4, 3)]);
    assert_eq!(mine(&standings, 1), Some("acme"));
    assert_eq!(mine(&standings, 3), Some("acme"));
    assert_eq!(mine(&standings, 4), Some("acme"));
    assert!(standings.reaches.is_empty(), "{:?}", standings.reaches);
}

#[test]
fn a_role_that_several_tenants_are_in_is_nobody_s() {
    let standings = fleet(&[(4, 1), (4, 2)]);
    assert_eq!(mine(&standings, 4), None);
    assert_eq!(
        standings.roles[&4].tenants[..],
        [schema("acme"), schema("globex")]
    );
    assert_eq!(mine(&standings, 1), Some("acme"));
    assert!(standings.reaches.is_empty(), "{:?}", standings.reaches);
}

#[test]
fn a_member_of_another_tenant_s_role_is_found_through_any_number_of_roles() {
    let standings = fleet(&[(2, 4), (4, 3)]);
    let [reach] = &standings.reaches[..] else {
        panic!("{:?}", standings.reaches);
    };
    assert_eq!(reach.kind, ReachKind::Membership);
    assert_eq!(reach.to, Some(schema("globex")));
    assert_eq!(reach.from.tenants(), [schema("acme")]);
    assert_eq!(
        reach.remedy.as_deref(),
        Some("REVOKE \"globex_owner\" FROM \"staff\"")
    );
    // what globex's role has is said with that
    assert_eq!(mine(&standings, 2), Some("globex"));
}

#[test]
fn the_application_becomes_a_tenant_s_application_role_on_purpose_and_no_owner() {
    // web can act as web_acme and as globex_owner
    let standings = fleet(&[(3, 5), (2, 5)]);
    assert_eq!(standings.roles[&3].application, None);
    assert_eq!(standings.roles[&2].application.as_deref(), Some("web"));
    assert_eq!(standings.roles[&5].application.as_deref(), Some("web"));
    assert!(standings.reaches.is_empty(), "{:?}", standings.reaches);
}

#[test]
fn what_no_grant_stops_is_said_of_every_role_that_a_tenant_can_become() {
    let mut facts = vec![
        role(1, "acme_owner"),
        role(2, "root"),
        role(3, "pg_read_all_data"),
    ];
    facts[1].is_superuser = true;
    facts[0].bypasses_row_security = true;
    let memberships = [
        Membership { role: 2, member: 1 },
        Membership { role: 3, member: 1 },
    ];
    let principals = [principal("acme_owner", "acme", false)];
    let standings = Standings::of(&facts, &memberships, &principals, &[]);
    let said: Vec<String> = standings
        .reaches
        .iter()
        .map(|reach| format!("{} {}", reach.objects[0], reach.how))
        .collect();
    assert_eq!(
        said,
        [
            "role acme_owner passes by row security",
            "role root is a superuser",
            "role pg_read_all_data reaches what was never granted",
        ]
    );
    assert!(standings.reaches.iter().all(|reach| reach.to.is_none()));
}

#[test]
fn a_role_of_two_tenants_is_nobody_s() {
    let facts = [role(1, "a_owner")];
    let principals = [
        principal("a_owner", "a", false),
        principal("a_owner", "a_owner", true),
    ];
    let standings = Standings::of(&facts, &[], &principals, &[]);
    assert_eq!(mine(&standings, 1), None);
    assert_eq!(standings.roles[&1].tenants.len(), 2);
}
