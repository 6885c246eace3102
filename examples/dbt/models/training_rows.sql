-- the rows to train on, with their weights
select s.pool, s.sample_id, s.position, s.weight, m.run_id, m.source, m.row
from {{ source('assay', 'latest_selection') }} as s
join {{ source('assay', 'latest_samples') }} as m using (pool, sample_id)
