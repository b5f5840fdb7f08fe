"""The RocketReach API, typed: calls, models, errors. Knows nothing of ledger, files or Dagster."""

from lookup_pipeline.rocketreach.client import LOOKUP_TYPES, RocketReachClient
from lookup_pipeline.rocketreach.errors import ErrorClass, RocketReachError
from lookup_pipeline.rocketreach.models import Account, LookupAnswer, StatusAnswer

__all__ = [
    "LOOKUP_TYPES",
    "Account",
    "ErrorClass",
    "LookupAnswer",
    "RocketReachClient",
    "RocketReachError",
    "StatusAnswer",
]
