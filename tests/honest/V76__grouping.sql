CREATE VIEW totals AS SELECT i.account_id, i.state, sum(i.amount) AS amount, grouping(i.state) AS g FROM invoices i GROUP BY ROLLUP (i.account_id, i.state) HAVING count(*) > 0;
