"""Importance resampling: rows in proportion to how much likelier they are under a target.

Weights and draws are computed by map and reduce: one call for each shard and phase, and sums of
whole numbers in between. So the result does not depend on how the pool is cut into shards, on
their order or on threads. The estimators run the same functions over one shard.

1. `BucketStream.of` hashes a shard into a stream of n-grams; the counts are added.
2. `sample_shard` takes the shard's part of a fixed sample; `Sample.merge` joins the parts.
3. `fit_ratio` runs once, with `PresenceClassifier` where the weighting asks for them.
4. `weigh_shard` and `moments` run on each shard, moments are added; then `combine`.
5. `tempered_keys` and `key_histogram` run at each `Cut` of `threshold`; the histograms are added.
6. `take_shard` returns the rows drawn, and those tied at the cut, among which ids decide.
"""
