"""Configuration: the environment variables, their defaults, and the project's root.

Read when used, so that definitions load without secrets; only what they consist of themselves
(the start date, the nightly hour and its time zone) is read when they load.
"""

import math
import os
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path

PACKAGE = Path(__file__).parent

API_KEY = "ROCKETREACH_API_KEY"
BASE_URL = "ROCKETREACH_BASE_URL"
LOOKUP_TYPE = "ROCKETREACH_LOOKUP_TYPE"
CREDIT_TYPE = "ROCKETREACH_CREDIT_TYPE"
REQUESTS_PER_SECOND = "ROCKETREACH_REQUESTS_PER_SECOND"
ADOPT_UNCONFIRMED = "ROCKETREACH_ADOPT_UNCONFIRMED"
PLAN_LIMITS = "ROCKETREACH_PLAN_LIMITS"
NAMES_URL = "LOOKUP_PIPELINE_NAMES_URL"
OUTPUT_URL = "LOOKUP_PIPELINE_OUTPUT_URL"
LEDGER_URL = "LOOKUP_PIPELINE_LEDGER_URL"
START_DATE = "LOOKUP_PIPELINE_START_DATE"
NIGHTLY_HOUR = "LOOKUP_PIPELINE_NIGHTLY_HOUR"
NIGHTLY_TIMEZONE = "LOOKUP_PIPELINE_NIGHTLY_TIMEZONE"
PUBLISH_INTERVAL = "LOOKUP_PIPELINE_PUBLISH_INTERVAL_SECONDS"
DEADLINE_HOURS = "LOOKUP_PIPELINE_DEADLINE_HOURS"
MIN_MATCH_RATE = "LOOKUP_PIPELINE_MIN_MATCH_RATE"
MAX_NEW_PER_RUN = "LOOKUP_PIPELINE_MAX_NEW_LOOKUPS_PER_RUN"
MAX_NEW_PER_DAY = "LOOKUP_PIPELINE_MAX_NEW_LOOKUPS_PER_DAY"
MIN_CREDITS = "LOOKUP_PIPELINE_MIN_CREDITS"
REFRESH_AFTER_DAYS = "LOOKUP_PIPELINE_REFRESH_AFTER_DAYS"
RETRY_FAILED_AFTER_DAYS = "LOOKUP_PIPELINE_RETRY_FAILED_AFTER_DAYS"
MAX_TRIES = "LOOKUP_PIPELINE_MAX_TRIES"
MISSING_FILE = "LOOKUP_PIPELINE_MISSING_FILE"

DEFAULTS = {
    BASE_URL: "https://api.rocketreach.co/api/v2",
    LOOKUP_TYPE: "standard",
    # Found by the lookup type.
    CREDIT_TYPE: "",
    # The provider's own ceiling over all operations of one key.
    REQUESTS_PER_SECOND: "10",
    NAMES_URL: "data/names",
    OUTPUT_URL: "data/output",
    LEDGER_URL: "sqlite:///data/ledger.db",
    # The oldest sample file.
    START_DATE: "2026-01-05",
    # The day before is complete everywhere but far west of Greenwich, and offices are empty.
    NIGHTLY_HOUR: "2",
    NIGHTLY_TIMEZONE: "UTC",
    # A partition in the making is shown afresh this often; a settled one at once.
    PUBLISH_INTERVAL: "300",
    # The provider finishes within minutes; a day outlives its bad days.
    DEADLINE_HOURS: "24",
    # Providers of this kind find 40 to 80 of 100 people; below this the file itself is suspect.
    MIN_MATCH_RATE: "0.3",
    # The provider's texts support it, though they do not promise it; asking is free.
    ADOPT_UNCONFIRMED: "1",
    # What the account call says holds.
    PLAN_LIMITS: "",
    # Without end: what a file asks for is what its owner wants.
    MAX_NEW_PER_RUN: "",
    MAX_NEW_PER_DAY: "",
    MIN_CREDITS: "0",
    # A person is paid for once, unless somebody says otherwise.
    REFRESH_AFTER_DAYS: "",
    RETRY_FAILED_AFTER_DAYS: "",
    # The provider documents 500 as "try again later", but may have charged each time.
    MAX_TRIES: "3",
    # A weekend or a holiday has no file.
    MISSING_FILE: "warn",
}


_PREFIXES = ("LOOKUP_PIPELINE_", "ROCKETREACH_")
_NAMES = frozenset({*DEFAULTS, API_KEY, "ROCKETREACH_WEBHOOK_ID", "ROCKETREACH_WEBHOOK_SECRET"})
# A letter or two amiss; what differs more is another program's.
_ALIKE = 0.96

PLAN_WINDOWS = ("minute", "hour", "day", "month")
"""The windows for which the provider's plans limit lookups."""

LONGEST_RUN = 366 * 86_400
"""Seconds that a run may be given: a year. What lies beyond is a slip of the finger."""


class ConfigurationError(Exception):
    """A setting is missing or unusable; the message names it and says what it takes."""


def project_root() -> Path:
    """The checkout's root (the folder of pyproject.toml), else the working directory."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def setting(name: str) -> str:
    """The value of an environment variable, or its default; blank counts as unset."""
    return os.environ.get(name, "").strip() or DEFAULTS[name]


# What a number may be at most; none may be below 0.
_AT_MOST = {
    # Far beyond any provider: what is meant to be without a ceiling is 0.
    REQUESTS_PER_SECOND: 10_000,
    NIGHTLY_HOUR: 23,
    PUBLISH_INTERVAL: LONGEST_RUN,
    DEADLINE_HOURS: LONGEST_RUN / 3600,
    MIN_MATCH_RATE: 1,
    ADOPT_UNCONFIRMED: 1,
    # Beyond any plan and any file.
    MAX_NEW_PER_RUN: 10**9,
    MAX_NEW_PER_DAY: 10**9,
    MIN_CREDITS: 10**9,
    MAX_TRIES: 100,
    REFRESH_AFTER_DAYS: 36_500,
    RETRY_FAILED_AFTER_DAYS: 36_500,
}

# Those that count something.
_WHOLE = frozenset(
    {NIGHTLY_HOUR, ADOPT_UNCONFIRMED, MAX_NEW_PER_RUN, MAX_NEW_PER_DAY, MIN_CREDITS, MAX_TRIES}
)


def number(name: str, given: float | str | None = None) -> float:
    """A numeric setting: `given`, or the environment's, or the default.

    Raises:
        ConfigurationError: it is not a number, or not in the range.
    """
    text = setting(name) if given is None else str(given)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    whole = name in _WHOLE
    if not 0 <= value <= _AT_MOST[name] or (whole and value != int(value)):
        raise ConfigurationError(
            f"{name} is {text!r}; it takes a {'whole ' if whole else ''}number from 0 to "
            f"{_AT_MOST[name]:,.0f} (default {DEFAULTS[name] or 'none'})."
        )
    return value


def optional(name: str) -> float | None:
    """A numeric setting that may be unset.

    Raises:
        ConfigurationError: it is not a number, or not in the range.
    """
    return number(name) if setting(name) else None


def maximum(name: str, given: int | None = None) -> int | None:
    """A maximum: `given`, or the environment's; None where neither sets one.

    Raises:
        ConfigurationError: it is not a whole number, or not in the range.
    """
    if given is not None:
        return given
    value = optional(name)
    return None if value is None else int(value)


def days(name: str) -> timedelta | None:
    """A number of days; None where it is unset.

    Raises:
        ConfigurationError: it is not a number, or not in the range.
    """
    value = optional(name)
    return None if value is None else timedelta(days=value)


def plan_limits() -> dict[str, int]:
    """Lookups in a window of the plan, where the operator knows better than the account call.

    Raises:
        ConfigurationError: it is not written as `minute=50,hour=300`.
    """
    found = {}
    for part in filter(None, (part.strip() for part in setting(PLAN_LIMITS).split(","))):
        window, _, text = part.partition("=")
        if window.strip() not in PLAN_WINDOWS or not text.strip().isdecimal():
            raise ConfigurationError(
                f"{PLAN_LIMITS} is {setting(PLAN_LIMITS)!r}; it takes lookups in a window, such as "
                f"minute=50,hour=300 (windows: {', '.join(PLAN_WINDOWS)})."
            )
        found[window.strip()] = int(text)
    return found


# Settings that are one word of a few.
_CHOICES = {MISSING_FILE: ("warn", "fail")}


def choice(name: str) -> str:
    """Return a setting that is one of a few words.

    Raises:
        ConfigurationError: it is another word.
    """
    value = setting(name)
    if value not in _CHOICES[name]:
        raise ConfigurationError(
            f"{name} is {value!r}; it takes {' or '.join(_CHOICES[name])} "
            f"(default {DEFAULTS[name]})."
        )
    return value


def check_settings() -> None:
    """Check all settings: one that is used last should not fail after the spending.

    Raises:
        ConfigurationError: one is not a number, or not in its range, or one is misspelt, which
            would leave a maximum unset without a word.
    """
    for name in os.environ:
        if name.startswith(_PREFIXES) and name not in _NAMES:
            for meant in get_close_matches(name, _NAMES, n=1, cutoff=_ALIKE):
                raise ConfigurationError(f"{name} is no setting; {meant} is. Which is meant?")
    plan_limits()
    for name in _AT_MOST:
        optional(name)
    for name in _CHOICES:
        choice(name)


def resolve_location(location: str) -> str:
    """A folder or URL, with a relative local path made absolute from the project's root."""
    return location if "://" in location else str(project_root() / location)


def resolve_database(url: str) -> str:
    """A database URL, with the relative path of an SQLite file made absolute likewise."""
    driver, separator, path = url.partition(":///")
    is_file = driver.partition("+")[0] == "sqlite" and path and path != ":memory:"
    if not is_file or Path(path).is_absolute():
        return url
    return f"{driver}{separator}{project_root() / path}"
