//! Kinds, statement by statement.

use super::*;
use crate::sql::split;

fn kind_of(text: &str) -> StatementKind {
    let statements = split(text);
    assert_eq!(statements.len(), 1, "{text}");
    kind(&statements[0])
}

#[test]
fn statements_that_the_server_refuses_in_a_transaction() {
    for text in [
        "create index concurrently if not exists i on t (a)",
        "CREATE UNIQUE /* ; */ INDEX\nCONCURRENTLY ON t (a)",
        "drop index concurrently i",
        "reindex table concurrently t",
        "reindex (concurrently) table t",
        "reindex (verbose, concurrently true) index i",
        "reindex database d",
        "reindex (verbose) system",
        "reindex schema s",
        "vacuum",
        "vacuum (analyze) t",
        "create database d",
        "drop database if exists d",
        "alter database \"d\" set tablespace x",
        "create tablespace x location '/x'",
        "drop tablespace x",
        "alter system set a = 1",
        "create subscription s connection 'c' publication p",
        "drop subscription s",
        "alter subscription s refresh publication",
        "alter subscription s add publication p",
        "alter subscription s set (failover = true)",
        "cluster",
        "cluster verbose",
        "cluster (verbose)",
        "alter table only p detach partition \"c\" concurrently",
        "discard all",
    ] {
        assert!(
            matches!(kind_of(text), StatementKind::OutsideTransaction(_)),
            "{text}"
        );
    }
}

#[test]
fn statements_that_only_look_like_those() {
    for text in [
        "create index i on t (a)",
        "create index \"concurrently\" on t (a)",
        "drop index i",
        "reindex table t",
        "reindex (concurrently off) table t",
        "reindex (verbose) table t",
        "refresh materialized view concurrently v",
        "alter type t add value 'x'",
        "alter database d set search_path = x",
        "create subscription s connection 'c' publication p with (create_slot = false)",
        "alter subscription s set publication p with (refresh = false)",
        "alter subscription s disable",
        "cluster t using i",
        "cluster (verbose) t",
        "alter table p detach partition c",
        "alter table p detach partition c finalize",
        "discard temp",
        "analyze t",
        "savepoint a",
        "release a",
        "rollback to a",
        "rollback work to savepoint a",
        "prepare p as select 1",
        "copy (select 1 from stdin) to '/x'",
        "copy stdin from '/x'",
        "copy t from program 'x'",
        "insert into t values ('vacuum')",
    ] {
        assert_eq!(kind_of(text), StatementKind::Ordinary, "{text}");
    }
}

#[test]
fn transaction_control_and_copy() {
    use TransactionWord as Word;
    for (text, word) in [
        ("begin isolation level serializable", Word::Begin),
        ("start transaction", Word::StartTransaction),
        ("commit and chain", Word::Commit),
        ("end", Word::End),
        ("rollback", Word::Rollback),
        ("abort work", Word::Abort),
        ("prepare transaction 'x'", Word::PrepareTransaction),
        ("commit prepared 'x'", Word::CommitPrepared),
        ("Rollback Prepared 'x'", Word::RollbackPrepared),
    ] {
        assert_eq!(kind_of(text), StatementKind::TransactionControl(word));
    }
    for text in [
        "copy t (a, b) from stdin with (format csv)",
        "copy (select 1) to stdout",
    ] {
        assert_eq!(kind_of(text), StatementKind::CopyStdin, "{text}");
    }
}

#[test]
fn only_a_plain_begin_or_commit_can_be_taken_off() {
    for (text, plain) in [
        ("begin", true),
        ("begin work", true),
        ("start transaction", true),
        ("end transaction and no chain", true),
        ("commit and chain", false),
        ("begin isolation level serializable", false),
        ("start transaction read only", false),
    ] {
        assert_eq!(is_plain(&split(text)[0]), plain, "{text}");
    }
}
