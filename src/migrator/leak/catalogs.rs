//! PostgreSQL's catalogues, as far as a migration can reach out of its tenant with them: what an object is called
//! there, which schema it lies in, and which rows belong to which object.

/// A name as one would write it.
macro_rules! ident {
    ($column:literal) => {
        concat!("pg_catalog.quote_ident(t.", $column, ")")
    };
}

/// A catalogue of objects. All texts are SQL over a row `t` of it.
pub(super) struct Class {
    /// Where it is read.
    pub(super) catalog: &'static str,
    /// What kind of object it is, in words.
    pub(super) kind: &'static str,
    /// What it is called, without a schema.
    pub(super) name: &'static str,
    /// The schema that it lies in; 0 where it lies in none.
    pub(super) home: &'static str,
    /// Which of its rows are objects by themselves, and no parts of others.
    pub(super) objects: &'static str,
    /// Which of those are looked through for changes that take no lock on the object; None: not at all.
    pub(super) rows: Option<&'static str>,
}

/// In order of weight: what comes first is told first.
pub(super) const CLASSES: &[Class] = &[
    of_database("pg_extension", "'extension'", ident!("extname")),
    Class {
        home: "t.oid",
        ..of_database("pg_namespace", "'schema'", ident!("nspname"))
    },
    Class {
        rows: None,
        ..of_database("pg_roles", "'role'", ident!("rolname"))
    },
    of_database("pg_event_trigger", "'event trigger'", ident!("evtname")),
    of_database("pg_database", "'database'", ident!("datname")),
    of_database("pg_tablespace", "'tablespace'", ident!("spcname")),
    Class {
        home: "t.defaclnamespace",
        name: "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(t.defaclrole))",
        ..of_database("pg_default_acl", "'default privileges of role'", "")
    },
    of_database("pg_publication", "'publication'", ident!("pubname")),
    Class {
        catalog: "pg_class",
        kind: "(CASE t.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' \
            WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'c' THEN 'type' WHEN 'f' THEN 'foreign table' \
            ELSE 'table' END)",
        name: ident!("relname"),
        home: "t.relnamespace",
        objects: "t.relkind<>'t'",
        rows: Some("t.relkind NOT IN ('i','I','t')"),
    },
    Class {
        catalog: "pg_proc",
        kind: "(CASE t.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END)",
        name: concat!(
            ident!("proname"),
            "||'('||pg_catalog.oidvectortypes(t.proargtypes)||')'"
        ),
        home: "t.pronamespace",
        objects: "true",
        rows: Some("true"),
    },
    Class {
        catalog: "pg_type",
        kind: "(CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END)",
        name: ident!("typname"),
        home: "t.typnamespace",
        // those of relations, and arrays, come and go with what they are of
        objects: "t.typrelid=0 AND t.typcategory<>'A'",
        rows: Some("t.typrelid=0 AND t.typcategory<>'A'"),
    },
    // what a table's is shows by the table
    Class {
        catalog: "pg_constraint",
        kind: "'domain constraint'",
        name: ident!("conname"),
        home: "(SELECT y.typnamespace FROM pg_catalog.pg_type y WHERE y.oid=t.contypid)",
        objects: "t.contypid<>0",
        rows: None,
    },
    of_schema(
        "pg_operator",
        "'operator'",
        ident!("oprname"),
        "t.oprnamespace",
    ),
    of_schema(
        "pg_opclass",
        "'operator class'",
        ident!("opcname"),
        "t.opcnamespace",
    ),
    of_schema(
        "pg_opfamily",
        "'operator family'",
        ident!("opfname"),
        "t.opfnamespace",
    ),
    of_schema(
        "pg_collation",
        "'collation'",
        ident!("collname"),
        "t.collnamespace",
    ),
    of_schema(
        "pg_conversion",
        "'conversion'",
        ident!("conname"),
        "t.connamespace",
    ),
    of_schema(
        "pg_statistic_ext",
        "'statistics'",
        ident!("stxname"),
        "t.stxnamespace",
    ),
    of_schema(
        "pg_ts_config",
        "'text search configuration'",
        ident!("cfgname"),
        "t.cfgnamespace",
    ),
    of_schema(
        "pg_ts_dict",
        "'text search dictionary'",
        ident!("dictname"),
        "t.dictnamespace",
    ),
    of_schema(
        "pg_ts_parser",
        "'text search parser'",
        ident!("prsname"),
        "t.prsnamespace",
    ),
    of_schema(
        "pg_ts_template",
        "'text search template'",
        ident!("tmplname"),
        "t.tmplnamespace",
    ),
    of_database(
        "pg_foreign_data_wrapper",
        "'foreign data wrapper'",
        ident!("fdwname"),
    ),
    of_database("pg_foreign_server", "'foreign server'", ident!("srvname")),
    of_database("pg_language", "'language'", ident!("lanname")),
    of_database("pg_am", "'access method'", ident!("amname")),
    Class {
        name: "pg_catalog.format_type(t.castsource,NULL)||' as '||pg_catalog.format_type(t.casttarget,NULL)",
        // one from or to a type of the tenant is the tenant's
        home: "coalesce((SELECT y.typnamespace FROM pg_catalog.pg_type y WHERE y.oid IN (t.castsource,t.casttarget) \
            AND y.typnamespace=(SELECT own FROM s) LIMIT 1),0)",
        ..of_database("pg_cast", "'cast'", "")
    },
    Class {
        name: "pg_catalog.format_type(t.trftype,NULL)",
        home: "coalesce((SELECT y.typnamespace FROM pg_catalog.pg_type y WHERE y.oid=t.trftype \
            AND y.typnamespace=(SELECT own FROM s)),0)",
        ..of_database("pg_transform", "'transform for type'", "")
    },
    Class {
        name: "t.oid::pg_catalog.text",
        ..of_database("pg_largeobject_metadata", "'large object'", "")
    },
];

/// Rows that belong to an object of another catalogue.
pub(super) struct Part {
    /// Where they are.
    pub(super) catalog: &'static str,
    /// The catalogue of the object.
    pub(super) class: &'static str,
    /// The object.
    pub(super) object: &'static str,
    /// Which of them.
    pub(super) rows: &'static str,
    /// What they are found by, in front of them: joined to each of its rows.
    by: Option<&'static str>,
    /// Whether one can be deleted without a lock on the object.
    pub(super) goes_unseen: bool,
}

impl Part {
    /// A query for its rows that fulfil a condition.
    pub(super) fn query(&self, columns: &str, condition: &str) -> String {
        let (catalog, rows) = (self.catalog, self.rows);
        let query =
            format!("SELECT {columns} FROM pg_catalog.{catalog} t WHERE {condition} AND {rows}");
        match self.by {
            // the limit keeps the planner from reading all of the catalogue
            Some(by) => format!("SELECT y.* FROM ({by}) g CROSS JOIN LATERAL ({query} LIMIT 1) y"),
            None => query,
        }
    }
}

/// What is looked through for changes that take no lock on the object.
pub(super) const PARTS: &[Part] = &[
    of_object("pg_auth_members", "'pg_roles'", "t.member", "true"),
    of_object(
        "pg_db_role_setting",
        "'pg_roles'",
        "t.setrole",
        "t.setrole<>0",
    ),
    // those of all roles in all databases are nobody's, and count for this one
    of_object(
        "pg_db_role_setting",
        "'pg_database'",
        "coalesce(nullif(t.setdatabase,0),(SELECT db FROM s))",
        "t.setrole=0",
    ),
    Part {
        goes_unseen: false,
        ..of_object("pg_enum", "'pg_type'", "t.enumtypid", "true")
    },
    Part {
        goes_unseen: false,
        ..of_object("pg_constraint", "'pg_type'", "t.contypid", "t.contypid<>0")
    },
    of_object(
        "pg_publication_rel",
        "'pg_publication'",
        "t.prpubid",
        // a table of the tenant that is dropped takes itself out
        "(t.xmax=0 OR NOT EXISTS (SELECT FROM pg_catalog.pg_class k WHERE k.oid=t.prrelid AND k.relnamespace=(SELECT own FROM s)))",
    ),
    of_object("pg_ts_config_map", "'pg_ts_config'", "t.mapcfg", "true"),
    of_object("pg_amop", "'pg_opfamily'", "t.amopfamily", "true"),
    of_object("pg_amproc", "'pg_opfamily'", "t.amprocfamily", "true"),
    // what an extension consists of
    of_object(
        "pg_depend",
        "'pg_extension'",
        "t.refobjid",
        "t.refclassid='pg_catalog.pg_extension'::pg_catalog.regclass AND t.deptype='e'",
    ),
    // privileges on columns; the catalogue of columns itself has millions of rows where there are many tenants
    of_object("pg_shdepend", "'pg_class'", "t.objid", ON_COLUMNS),
    // those that are more or fewer of a role that keeps some
    Part {
        goes_unseen: false,
        by: Some(
            "SELECT DISTINCT t.objid,t.objsubid FROM pg_catalog.pg_shdepend t \
             WHERE t.objsubid<>0 AND t.deptype='a' AND t.classid='pg_catalog.pg_class'::pg_catalog.regclass \
             AND t.dbid=(SELECT db FROM s)",
        ),
        ..of_object(
            "pg_attribute",
            "'pg_class'",
            "t.attrelid",
            "t.attrelid=g.objid AND t.attnum=g.objsubid",
        )
    },
    // one on a part of a table is the table's
    of_object(
        "pg_description",
        "(CASE t.classoid \
         WHEN 'pg_catalog.pg_largeobject'::pg_catalog.regclass THEN 'pg_largeobject_metadata' \
         WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN 'pg_class' \
         WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN 'pg_class' \
         WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN 'pg_class' \
         WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN (SELECT CASE x.contypid WHEN 0 THEN 'pg_class' \
         ELSE 'pg_type' END FROM pg_catalog.pg_constraint x WHERE x.oid=t.objoid) \
         WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN (SELECT CASE y.typrelid WHEN 0 THEN 'pg_type' \
         ELSE 'pg_class' END FROM pg_catalog.pg_type y WHERE y.oid=t.objoid) \
         ELSE (SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid=t.classoid) END)",
        "(CASE t.classoid \
         WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN (SELECT x.tgrelid FROM pg_catalog.pg_trigger x WHERE x.oid=t.objoid) \
         WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN (SELECT x.polrelid FROM pg_catalog.pg_policy x WHERE x.oid=t.objoid) \
         WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN (SELECT x.ev_class FROM pg_catalog.pg_rewrite x WHERE x.oid=t.objoid) \
         WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN (SELECT CASE x.contypid WHEN 0 THEN x.conrelid \
         ELSE x.contypid END FROM pg_catalog.pg_constraint x WHERE x.oid=t.objoid) \
         WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN (SELECT CASE y.typrelid WHEN 0 THEN y.oid \
         ELSE y.typrelid END FROM pg_catalog.pg_type y WHERE y.oid=t.objoid) \
         ELSE t.objoid END)",
        "true",
    ),
];

/// Of `pg_shdepend`: privileges on columns of this database's tables.
const ON_COLUMNS: &str = "t.objsubid<>0 AND t.deptype='a' \
    AND t.classid='pg_catalog.pg_class'::pg_catalog.regclass AND t.dbid=(SELECT db FROM s)";

/// What a table consists of, each found by an index. Only for tables that are locked.
pub(super) const PARTS_OF_TABLES: &[Part] = &[
    of_table("pg_attribute", "t.attrelid", "true"),
    of_table("pg_attrdef", "t.adrelid", "true"),
    of_table("pg_constraint", "t.conrelid", "true"),
    of_table("pg_index", "t.indrelid", "true"),
    // foreign keys make and drop triggers of PostgreSQL's own, and disable none
    of_table(
        "pg_trigger",
        "t.tgrelid",
        "(NOT t.tgisinternal OR t.tgenabled<>'O')",
    ),
    of_table("pg_policy", "t.polrelid", "true"),
    of_table("pg_rewrite", "t.ev_class", "true"),
];

/// Every catalogue whose rows are looked at.
pub(super) fn catalogs_of_rows() -> Vec<&'static str> {
    let of_objects = CLASSES.iter().filter(|class| class.rows.is_some());
    let of_parts = PARTS.iter().chain(PARTS_OF_TABLES);
    let mut catalogs: Vec<_> = of_objects
        .map(|class| class.catalog)
        .chain(of_parts.map(|part| part.catalog))
        .collect();
    catalogs.sort_unstable();
    catalogs.dedup();
    catalogs
}

const fn of_schema(
    catalog: &'static str,
    kind: &'static str,
    name: &'static str,
    home: &'static str,
) -> Class {
    Class {
        catalog,
        kind,
        name,
        home,
        objects: "true",
        rows: Some("true"),
    }
}

const fn of_database(catalog: &'static str, kind: &'static str, name: &'static str) -> Class {
    of_schema(catalog, kind, name, "0")
}

const fn of_object(
    catalog: &'static str,
    class: &'static str,
    object: &'static str,
    rows: &'static str,
) -> Part {
    Part {
        catalog,
        class,
        object,
        rows,
        by: None,
        goes_unseen: true,
    }
}

const fn of_table(catalog: &'static str, object: &'static str, rows: &'static str) -> Part {
    of_object(catalog, "'pg_class'", object, rows)
}
