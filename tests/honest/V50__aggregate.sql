CREATE AGGREGATE array_cat_agg (anycompatiblearray) (SFUNC = array_cat, STYPE = anycompatiblearray, INITCOND = '{}');
