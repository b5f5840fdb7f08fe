"""The assets, one file a step."""

from lookup_pipeline.assets.lookups import lookups
from lookup_pipeline.assets.names import names_and_rejected_names
from lookup_pipeline.assets.published import published_datasets

ASSETS = [names_and_rejected_names, lookups, published_datasets]

__all__ = ["ASSETS", "lookups", "names_and_rejected_names", "published_datasets"]
