-- Shapes: a tenant that a run has brought to its target, and that is unlike the others then, has failed.
ALTER TABLE run_tenants ADD COLUMN differs boolean NOT NULL DEFAULT false;
-- In what it differed from the others before its run: [{"change", "kind", "table", "name"}, …]. NULL where it did not, or nobody
-- has looked.
ALTER TABLE run_tenants ADD COLUMN odd jsonb;
CREATE INDEX run_tenants_that_differ ON run_tenants (database, schema) WHERE differs;
