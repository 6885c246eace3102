-- the rows to train on, with their weights
MODEL (
  name warehouse.assay.training_rows,
  kind FULL,
  cron '@daily',
  grain (pool, sample_id),
  audits (
    not_null(columns := (sample_id, weight)),
    unique_combination_of_columns(columns := (pool, sample_id))
  )
);

SELECT s.pool, s.sample_id, s.position, s.weight, m.run_id, m.source, m.row
FROM latest.main.latest_selection AS s
JOIN latest.main.latest_samples AS m USING (pool, sample_id)
