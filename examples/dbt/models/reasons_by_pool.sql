-- how many rows are in or out, and why
select pool, stage, reason, selected, count(*) as n
from {{ source('assay', 'latest_decisions') }}
group by all
