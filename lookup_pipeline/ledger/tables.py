"""The ledger's tables. A change here needs a migration; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    text,
)

from lookup_pipeline.ledger.states import PENDING, State
from lookup_pipeline.ledger.times import UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for a primary key of type INTEGER.
LookupId = BigInteger().with_variant(Integer(), "sqlite")

lookups = Table(
    "lookups",
    metadata,
    Column("lookup_id", LookupId, primary_key=True, autoincrement=True),
    Column(
        "identity",
        Text,
        nullable=False,
        unique=True,
        comment="by which rows find it; followed by its number once a newer lookup has taken over",
    ),
    Column("parameters", Text, nullable=False, comment="JSON: what is sent to the provider"),
    Column("state", String(16), nullable=False),
    Column("api_status", Text, comment="the provider's status, as received"),
    Column("profile_id", BigInteger, comment="the provider's id of the person"),
    Column("request_id", Text, comment="RR-Request-ID of the submission"),
    Column("claimed_by", Text, comment="the run that submitted it last"),
    Column(
        "claim_number",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="grows with each claim and resubmission: tells which request an answer is about",
    ),
    Column("lease_until", UtcTime, comment="when a silent submission counts as lost"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("not_before", UtcTime, comment="a queued lookup waits until then"),
    Column("submitted_at", UtcTime),
    Column("next_poll_at", UtcTime, comment="none where there is nothing to ask about"),
    Column("last_polled_at", UtcTime),
    Column("deadline_at", UtcTime),
    Column("settled_at", UtcTime),
    Column("credits", Integer, nullable=False, server_default=text("0")),
    Column("failure_kind", String(32)),
    Column("failure_reason", Text),
    Column("http_status", Integer),
    Column("first_date", String(10), comment="the partition that asked first, and pays"),
    Column(
        "keeps_lookup_id",
        LookupId,
        comment="the complete lookup that it refreshes, whose profile is shown until it has one",
    ),
    CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in State)})", name="state"),
)


def _index_where(name: str, column: str, condition: str) -> Index:
    # Partial: the index holds what is due, not what is stored, so its cost does not grow with age.
    where = text(condition)
    return Index(name, lookups.c[column], sqlite_where=where, postgresql_where=where)


_index_where("ix_lookups_due", "next_poll_at", "next_poll_at IS NOT NULL")
_index_where("ix_lookups_deadline", "deadline_at", f"state = '{State.IN_FLIGHT.value}'")
# What a partition has cost is asked for at every publication: answered by the index alone.
Index("ix_lookups_first_date", lookups.c.first_date, lookups.c.credits)
# How many were sent since a time: what budgets of a day and the plan's windows are kept by.
_index_where("ix_lookups_submitted_at", "submitted_at", "submitted_at IS NOT NULL")
_index_where("ix_lookups_lease", "lease_until", f"state = '{State.SUBMITTING.value}'")
# Whether a partition is settled: what it asked for first and still waits for.
_PENDING_CONDITION = f"state IN ({', '.join(repr(state.value) for state in sorted(PENDING))})"
_index_where("ix_lookups_pending", "first_date", _PENDING_CONDITION)
# Written out, as in the index: one that holds some rows only serves no condition whose values come
# later.
IS_PENDING = lookups.c.state.in_(
    bindparam("pending", sorted(PENDING), expanding=True, literal_execute=True)
)

aliases = Table(
    "aliases",
    metadata,
    Column("identity", Text, primary_key=True, comment="by rules newer than the lookup"),
    Column("lookup_id", LookupId, ForeignKey("lookups.lookup_id"), nullable=False),
)

identity_rules = Table(
    "identity_rules",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("learned_up_to", BigInteger, nullable=False, comment="lookups found by them"),
    Column("learned_at", UtcTime, nullable=False),
)

payloads = Table(
    "payloads",
    metadata,
    Column("lookup_id", LookupId, ForeignKey("lookups.lookup_id"), primary_key=True),
    Column("payload", LargeBinary, nullable=False, comment="the profile's JSON, zstd"),
    Column("received_at", UtcTime, nullable=False),
)

memberships = Table(
    "memberships",
    metadata,
    Column("lookup_date", String(10), primary_key=True),
    Column("source_file", Text, primary_key=True),
    Column("source_row", BigInteger, primary_key=True),
    Column("lookup_id", LookupId, ForeignKey("lookups.lookup_id"), nullable=False, index=True),
    Column("reused", Boolean, nullable=False, comment="the lookup was known before this row"),
    Column("requested", Text, nullable=False, comment="JSON: the row as it was asked for"),
    # Rows are read by partition in file order: keep them stored that way.
    sqlite_with_rowid=False,
)

partitions = Table(
    "partitions",
    metadata,
    Column("lookup_date", String(10), primary_key=True),
    Column("news_version", BigInteger, nullable=False, server_default=text("0")),
    Column("published_version", BigInteger, nullable=False, server_default=text("0")),
    Column(
        "claimed_version",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="the highest that was moved into place, or was about to be",
    ),
    Column("published_at", UtcTime),
    Column(
        "published_credits",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="credits that the publications have told of so far",
    ),
    Column("files_checked_at", UtcTime, comment="when its published files were looked at last"),
    Column("publication_attempts", Integer, nullable=False, server_default=text("0")),
    Column("publication_requested_at", UtcTime),
)

waits = Table(
    "waits",
    metadata,
    Column("lookup_date", String(10), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, comment="what happened, for a person; no personal data"),
    Column("stage", String(16), nullable=False, comment="what a run has to begin with"),
    Column("since", UtcTime, nullable=False),
    Column("until", UtcTime, comment="taken up again then; none where an operator stopped it"),
    Column("attempts", Integer, nullable=False, comment="failed ones in a row"),
    Column("run_id", Text, comment="the run that works on it, or did so last"),
    Column("request", Text, comment="a run that was asked for and has not begun"),
    Column("in_backfill", Boolean, nullable=False, comment="nightly ones go first"),
    Column("noted_at", UtcTime, nullable=False, comment="when this was written"),
)

publication_claims = Table(
    "publication_claims",
    metadata,
    Column("token", String(32), primary_key=True, comment="the publication's own"),
    Column("lookup_date", String(10), nullable=False),
    Column("version", BigInteger, nullable=False, comment="the news whose files are being moved"),
    Column("claimed_at", UtcTime, nullable=False),
)

limits = Table(
    "limits",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("next_at", UtcTime, comment="when the next request may leave"),
    Column("blocked_until", UtcTime, comment="the provider asked for silence until then"),
)

days = Table(
    "days",
    metadata,
    Column("day", String(10), primary_key=True, comment="UTC"),
    Column("sent", BigInteger, nullable=False, comment="requests that may have been processed"),
)

allowances = Table(
    "allowances",
    metadata,
    Column("name", String(32), primary_key=True, comment="a window of the plan, or `credits`"),
    Column("limit", BigInteger),
    Column("remaining", BigInteger, nullable=False),
    Column("opened_at", UtcTime, comment="when the first lookup of the window left, as we know it"),
    Column("look_again_at", UtcTime, comment="used up: the account is not asked before then"),
)

incarnations = Table(
    "incarnations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("incarnation", String(32), nullable=False, unique=True),
    Column("since", UtcTime, nullable=False),
)

submission_counters = Table(
    "submission_counters",
    metadata,
    Column("writer", String(32), primary_key=True, comment="one submission of one process"),
    Column("counter", BigInteger, nullable=False, comment="raised before the claims it covers"),
)

lineage = Table(
    "lineage",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row"),
    Column("counter", BigInteger, nullable=False, comment="the highest of all writers"),
    Column("reconcile_reason", Text, comment="why nothing may be sent before `ledger reconcile`"),
    Column(
        "lookup_ids_above",
        BigInteger,
        nullable=False,
        comment="the highest id that a lost or newer ledger has published",
    ),
)
