"""What a row shows: its lookup or, while that is a refresh without a profile, the one before it.

For queries that have `lookups` joined to `memberships`: join `shown` to them by `is_shown`.
"""

from sqlalchemy import and_, case

from lookup_pipeline.ledger.states import State
from lookup_pipeline.ledger.tables import lookups

shown = lookups.alias("shown")
"""The lookup that is shown."""

keeps_profile = and_(
    lookups.c.keeps_lookup_id.is_not(None), lookups.c.state != State.COMPLETE.value
)
"""Whether a row's lookup is a refresh that has no profile: the earlier one stays published."""

is_shown = shown.c.lookup_id == case(
    (keeps_profile, lookups.c.keeps_lookup_id), else_=lookups.c.lookup_id
)
