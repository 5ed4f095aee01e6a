//! The name of a tenant's own schema makes no difference wherever PostgreSQL prints it, and that of another one does.

use super::differences;
use crate::support::{Server, TestDatabase, TestFleet, tenants};

/// Names that several functions have: `regproc` prints those with their schema.
const SEVERAL: &str = "
    CREATE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
    CREATE FUNCTION add(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $2';
    CREATE FUNCTION last(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION last(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION gap(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
    CREATE FUNCTION gap(int, int) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT ($1 - $2)::float8';
    CREATE AGGREGATE total_of(int) (sfunc = add, stype = int, finalfunc = last, combinefunc = add,
      msfunc = add, minvfunc = add, mstype = int, mfinalfunc = last);
    CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = gap);
    CREATE OPERATOR #+ (leftarg = int, rightarg = int, procedure = add, commutator = #+);
    CREATE TYPE c;
    CREATE FUNCTION c_in(cstring) RETURNS c LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
    CREATE FUNCTION c_in(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION c_out(c) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
    CREATE FUNCTION c_out(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
    CREATE TYPE c (input = c_in, output = c_out, internallength = 4, passedbyvalue, alignment = int4);
    ";

#[test]
fn a_function_of_which_there_are_several_is_named_without_the_schema() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).migration("V1__several", SEVERAL);
    fleet.fleet(&["migrate"]).assert_code(0);
    fleet.json(&["verify"], 0);
    db.execute(
        "SET search_path = tenant_0002; DROP AGGREGATE total_of(int);
         CREATE AGGREGATE total_of(int) (sfunc = add, stype = int, finalfunc = last, combinefunc = int4pl,
           msfunc = add, minvfunc = add, mstype = int, mfinalfunc = last)",
    );
    let document = fleet.json(&["verify"], 7);
    assert_eq!(
        differences(&document),
        ["main/tenant_0002: different aggregate total_of(integer)"]
    );
}
