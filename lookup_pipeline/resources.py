"""What assets and sensors work with. Every field can come from the environment; see settings.py.

A field left at None is read from its environment variable when it is used, so definitions load
without configuration and a changed variable needs no new definitions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from dagster import ConfigurableResource, EnvVar
from pydantic import Field
from upath import UPath

from lookup_pipeline import settings
from lookup_pipeline.datasets.storage import DatasetFolder
from lookup_pipeline.enrichment.account import Plan
from lookup_pipeline.enrichment.budget import SubmissionPolicy
from lookup_pipeline.ledger import Ledger, LedgerError, open_ledger
from lookup_pipeline.rocketreach import LOOKUP_TYPES, RocketReachClient
from lookup_pipeline.rocketreach.client import is_http_url
from lookup_pipeline.settings import ConfigurationError


class LedgerResource(ConfigurableResource[Ledger]):
    """The ledger database."""

    url: str | None = Field(
        default=None, description=f"SQLAlchemy URL; by default {settings.LEDGER_URL}."
    )

    @property
    def resolved_url(self) -> str:
        """The URL, with a relative path made absolute."""
        return settings.resolve_database(self.url or settings.setting(settings.LEDGER_URL))

    def open(self) -> Ledger:
        """The open ledger, one a process and file: opening costs more than a sensor's tick.

        Raises:
            ConfigurationError: its URL can't be used.
        """
        try:
            return _open(self.resolved_url)
        except LedgerError as error:
            raise ConfigurationError(str(error)) from error


_opened: dict[str, Ledger] = {}


def _open(url: str) -> Ledger:
    ledger = _opened.get(url)
    if ledger is None or ledger.was_replaced:
        # Whoever still works with the old file is refused by it.
        ledger = _opened[url] = open_ledger(url)
    return ledger


class Folders(ConfigurableResource[None]):
    """Where the CSV files lie and where the datasets go."""

    names_url: str | None = Field(
        default=None,
        description=f"Folder or URL of the CSV files; by default {settings.NAMES_URL}.",
    )
    output_url: str | None = Field(
        default=None,
        description=f"Folder or URL of the datasets; by default {settings.OUTPUT_URL}.",
    )

    @property
    def names(self) -> UPath:
        """The names folder."""
        with _named(settings.NAMES_URL):
            return _reachable(self.names_url or settings.setting(settings.NAMES_URL))

    @property
    def output(self) -> DatasetFolder:
        """The output folder."""
        with _named(settings.OUTPUT_URL):
            location = _reachable(self.output_url or settings.setting(settings.OUTPUT_URL))
            return DatasetFolder(str(location))


def _reachable(location: str) -> UPath:
    """The location, its library loaded: a missing one is told before any work."""
    path = UPath(settings.resolve_location(location))
    _ = path.fs
    return path


@contextmanager
def _named(variable: str) -> Iterator[None]:
    """Name the variable where its location is of a kind that can't be reached from here."""
    try:
        yield
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{variable} can't be used: {error}. Object stores need an extra: "
            ".venv/bin/pip install -c constraints.txt -e '.[s3]' (or '.[gcs]')."
        ) from error


class RocketReach(ConfigurableResource[None]):
    """The provider's API and how it may be used."""

    api_key: str | None = Field(
        default=None, description=f"Secret; by default {settings.API_KEY}. Give it by EnvVar only."
    )
    base_url: str | None = Field(
        default=None, description=f"API root ending in /api/v2; by default {settings.BASE_URL}."
    )
    lookup_type: str | None = Field(
        default=None, description=f"Kind of credit; by default {settings.LOOKUP_TYPE}."
    )
    requests_per_second: float | None = Field(
        default=None,
        description=f"Ceiling over all processes, 0 lifts it; by default "
        f"{settings.REQUESTS_PER_SECOND}.",
    )

    @contextmanager
    def client(self) -> Iterator[RocketReachClient]:
        """The API, open for the length of a block.

        Raises:
            ConfigurationError: there is no key, or the address is not one.
            RocketReachError: the key can't be one.
        """
        key = (self.api_key or EnvVar(settings.API_KEY).get_value() or "").strip()
        if not key:
            raise ConfigurationError(
                f"{settings.API_KEY} is not set: put your RocketReach key into the environment or "
                "into .env. To try the pipeline without one, run `make demo` or `make dev`, or "
                "start the simulated API with `lookup-pipeline sandbox` and set the variables "
                "it prints. Nothing was sent; everything stays queued."
            )
        base_url = self.base_url or settings.setting(settings.BASE_URL)
        if not is_http_url(base_url) or not base_url.rstrip("/").endswith("/api/v2"):
            raise ConfigurationError(
                f"{settings.BASE_URL} is {base_url!r}; it takes a URL that begins with https:// "
                "(or http://) and ends in /api/v2."
            )
        with RocketReachClient(base_url, key) as client:
            yield client

    @property
    def rate(self) -> float:
        """Requests a second over all operations and processes; 0 lifts the ceiling."""
        return settings.number(settings.REQUESTS_PER_SECOND, self.requests_per_second)

    @property
    def deadline(self) -> timedelta:
        """How long a lookup may stay in flight before it counts as timed out."""
        return timedelta(hours=settings.number(settings.DEADLINE_HOURS))

    @property
    def adopts(self) -> bool:
        """Whether unconfirmed lookups are asked about by profile id, and adopted if accepted."""
        return bool(settings.number(settings.ADOPT_UNCONFIRMED))

    @property
    def plan(self) -> Plan:
        """What holds for the account.

        Raises:
            ConfigurationError: the kind of credit is none, or a number is not one.
        """
        lookup_type = self.lookup_type or settings.setting(settings.LOOKUP_TYPE)
        if lookup_type not in LOOKUP_TYPES:
            raise ConfigurationError(
                f"{settings.LOOKUP_TYPE} is {lookup_type!r}; it takes one of "
                f"{', '.join(LOOKUP_TYPES)}."
            )
        return Plan(
            lookup_type=lookup_type,
            requests_per_second=self.rate,
            windows=settings.plan_limits(),
            min_credits=int(settings.number(settings.MIN_CREDITS)),
            credit_type=settings.setting(settings.CREDIT_TYPE) or None,
        )

    @property
    def policy(self) -> SubmissionPolicy:
        """What a submission has to keep to.

        Raises:
            ConfigurationError: a setting is none.
        """
        return SubmissionPolicy(
            plan=self.plan,
            deadline=self.deadline,
            max_new=settings.maximum(settings.MAX_NEW_PER_RUN),
            max_a_day=settings.maximum(settings.MAX_NEW_PER_DAY),
            max_tries=int(settings.number(settings.MAX_TRIES)),
        )
