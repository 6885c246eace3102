-- how many rows are in or out, and why
MODEL (
  name warehouse.assay.reasons_by_pool,
  kind FULL,
  cron '@daily',
  grain (pool, stage, reason)
);

SELECT pool, stage, reason, selected, count(*) AS n
FROM latest.main.latest_decisions
GROUP BY ALL
