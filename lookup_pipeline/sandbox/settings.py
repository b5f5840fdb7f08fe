"""Every option of the sandbox: its meaning, its unit and its default.

The command line's options, the checks of `PATCH /sandbox/settings` and the keyword arguments of
`running_sandbox` all come from `SandboxSettings`; an option added here exists everywhere.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Plan = Literal["unlimited", "essentials", "pro", "ultimate", "custom"]
Action = Literal["person_lookup", "bulk_lookup"]
Duration = Literal["minute", "hour", "day", "month"]

PLAN_LIMITS: dict[Plan, dict[Action, dict[Duration, int]]] = {
    # The provider's published figures: lookups and bulk jobs per window. There is no monthly
    # limit of bulk jobs, and `unlimited` is the sandbox's own.
    "unlimited": {"person_lookup": {}, "bulk_lookup": {}},
    "essentials": {
        "person_lookup": {"minute": 15, "hour": 100, "day": 500, "month": 5_000},
        "bulk_lookup": {"minute": 10, "hour": 25, "day": 100},
    },
    "pro": {
        "person_lookup": {"minute": 50, "hour": 300, "day": 1_500, "month": 20_000},
        "bulk_lookup": {"minute": 10, "hour": 25, "day": 100},
    },
    "ultimate": {
        "person_lookup": {"minute": 100, "hour": 1_000, "day": 3_000, "month": 50_000},
        "bulk_lookup": {"minute": 10, "hour": 25, "day": 100},
    },
    "custom": {
        "person_lookup": {"minute": 250, "hour": 2_500, "day": 10_000, "month": 200_000},
        "bulk_lookup": {"minute": 10, "hour": 100, "day": 1_000},
    },
}


class Webhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver, as the account's settings page would register it.

    Attributes:
        id: The number a lookup names as `webhook_id`.
        url: Where results are posted.
        secret: Key of the signature; without one, deliveries are not signed.
    """

    id: int
    url: str
    secret: str | None = None


class SandboxSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated provider does. Every field may be changed while it runs.

    A *share* is a part of all people (0 to 1), fixed for each person by the seed; a *probability*
    (0 to 1) is drawn anew for each request, in an order the seed fixes.

    Raises:
        msgspec.ValidationError: When built by `msgspec.convert` from a value that is out of range.
    """

    api_key: Annotated[str, Meta(description="The key that is accepted.", min_length=1)] = "sandbox"
    # The row of faults begins anew with a new seed only at the next reset.
    seed: Annotated[int, Meta(description="Same seed: same people, same fates.")] = 0

    complete_after_polls: Annotated[
        Count, Meta(description="Status checks until a lookup is finished; its last one says so.")
    ] = 1
    complete_after_seconds: Annotated[
        Seconds,
        Meta(description="Seconds until a lookup can be finished, and its webhook is delivered."),
    ] = 0
    extra_polls: Annotated[
        Count, Meta(description="Up to so many status checks more, a number fixed per person.")
    ] = 0

    not_found: Annotated[Share, Meta(description="Share of people nobody knows (404).")] = 0
    failed: Annotated[Share, Meta(description="Share of people whose lookup fails.")] = 0
    without_contact: Annotated[
        Share, Meta(description="Share of people found without e-mail and phone.")
    ] = 0
    unknown_status: Annotated[
        Share, Meta(description="Share of people who pass through an undocumented status.")
    ] = 0
    unknown_fields: Annotated[
        Share, Meta(description="Share of people with undocumented fields.")
    ] = 0
    lookup_as_list: Annotated[
        bool, Meta(description="Answer a lookup as a list of one, as the prose shows it.")
    ] = False

    plan: Annotated[Plan, Meta(description="The plan whose limits are enforced.")] = "unlimited"
    requests_per_second: Annotated[
        Count, Meta(description="Limit over all operations, requests a second; 0 = none.")
    ] = 0  # The provider's is 10.
    credits: Annotated[
        Count | Literal["inf"], Meta(description='Credits of each kind; "inf" = without end.')
    ] = 1_000_000  # More than any test spends, and an integer as the contract's schema wants it.
    credits_by_type: Annotated[
        dict[str, Count],
        Meta(description="Credits of one kind, as KIND=NUMBER; goes before --credits."),
    ] = field(default_factory=dict)
    credit_names: Annotated[
        Literal["lookup_type", "provider"],
        Meta(description="provider: as in its texts, standard_lookup, and person_export beside."),
    ] = "lookup_type"
    account_state: Annotated[
        Literal["ok", "revoked", "no_credits", "forbidden"],
        Meta(description="revoked: 401, no_credits: 402, forbidden: 403."),
    ] = "ok"

    webhooks: Annotated[
        tuple[Webhook, ...],
        Meta(description="Receiver, as ID=URL or ID=URL,SECRET. The first is the top-most."),
    ] = ()
    webhook_before_answer: Annotated[
        bool, Meta(description="Deliver before the lookup itself is answered.")
    ] = False
    webhook_lost: Annotated[Share, Meta(description="Probability that a delivery is lost.")] = 0
    webhook_repeated: Annotated[
        Share, Meta(description="Probability that a delivery is sent twice.")
    ] = 0

    latency_seconds: Annotated[
        Seconds, Meta(description="Real seconds every request waits before it is processed.")
    ] = 0
    down: Annotated[bool, Meta(description="Answer 503 to everything.")] = False
    retry_after_seconds: Annotated[
        Count, Meta(description="Retry-After of every 503, in seconds; 0 = without the header.")
    ] = 0
    error_500: Annotated[
        Share, Meta(description="Probability of a 500 that has processed nothing.")
    ] = 0
    error_500_after: Annotated[
        Share, Meta(description="Probability of a 500 after the request was processed.")
    ] = 0
    error_503: Annotated[Share, Meta(description="Probability of a 503; nothing processed.")] = 0
    error_502_html: Annotated[
        Share, Meta(description="Probability of a gateway's HTML page with status 502.")
    ] = 0
    html_200: Annotated[
        Share, Meta(description="Probability of a gateway's HTML page with status 200.")
    ] = 0
    cut_body: Annotated[
        Share, Meta(description="Probability that a processed answer breaks off half-way.")
    ] = 0
    drop_connection_before: Annotated[
        Share, Meta(description="Probability that the connection is closed, nothing processed.")
    ] = 0
    drop_connection_after: Annotated[
        Share, Meta(description="Probability of processing, then closing without an answer.")
    ] = 0
