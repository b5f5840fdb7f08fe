"""Invented people: who a query means, what becomes of the lookup, and the profile it finds.

Everything follows from the seed and the person, never from the order of requests. Whatever could
reach somebody is fictional by rule: e-mail and web addresses under example.com, .org and .net
(reserved for documentation), phone numbers from 555-0100 to 555-0199 (reserved for fiction).
"""

import hashlib
import re
import struct
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from lookup_pipeline.sandbox.queries import LookupQuery
from lookup_pipeline.sandbox.settings import SandboxSettings

# Encoded profiles kept for answering again: 5 KB each, so some 100 MB at most.
_CACHED_PROFILES = 20_000
# The same employers come again and again; a few hundred bytes each.
_CACHED_COMPANIES = 10_000
# Different careers (former jobs, education, skills); a person has one of them.
_CAREERS = 500

_T = TypeVar("_T")

_FIRST_NAMES = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grace", "Hana", "Ines")
_LAST_NAMES = ("Abara", "Bergström", "Castillo", "Dubois", "Eriksen", "Fontaine", "Ó Broin", "Sato")
_COMPANIES = (
    "Bluepeak Systems",
    "Cedar & Stone",
    "Driftwood Health",
    "Everbright Energy",
    "Foxglove Media",
    "Granite Harbor Bank",
    "Lantern Logistics",
    "Northlight Robotics",
    "Quillon Software",
    "Silverbirch Foods",
)
_PLACES = (
    # city, region, country, country code, latitude, longitude, telephone area code
    ("Seattle", "WA", "United States", "US", 47.6062, -122.3321, "206"),
    ("Boston", "MA", "United States", "US", 42.3601, -71.0589, "617"),
    ("Austin", "TX", "United States", "US", 30.2672, -97.7431, "512"),
    ("Chicago", "IL", "United States", "US", 41.8781, -87.6298, "312"),
    ("Denver", "CO", "United States", "US", 39.7392, -104.9903, "303"),
    ("Toronto", "ON", "Canada", "CA", 43.6532, -79.3832, "416"),
)
_DEPARTMENTS = (
    # department, sub-department, a title in it
    ("Engineering", "Software Engineering", "Software Engineer"),
    ("Engineering", "Data", "Data Engineer"),
    ("Finance", "Accounting", "Financial Controller"),
    ("Marketing", "Product Marketing", "Product Marketing Manager"),
    ("Operations", "Supply Chain", "Operations Manager"),
    ("Human Resources", "Recruiting", "Talent Partner"),
    ("Sales", "Account Management", "Account Executive"),
)
_LEVELS = ("C-Level", "VP", "Director", "Manager", "Staff")
_INDUSTRIES = ("Software", "Banking", "Hospitals & Health Care", "Logistics", "Renewables", "Media")
_SCHOOLS = ("Northfield University", "Lakeshore College", "Institute of Technology, Harborview")
_DEGREES = ("Bachelor of Science", "MBA")  # the first one's, the second one's
_MAJORS = ("Computer Science", "Economics", "Statistics", "Biology", "Industrial Design", None)
_SKILLS = (
    "Budgeting",
    "Cloud Architecture",
    "Contract Negotiation",
    "Data Modelling",
    "Distributed Systems",
    "Forecasting",
    "Mentoring",
    "Process Improvement",
    "Product Strategy",
    "Project Management",
    "Public Speaking",
    "Python",
    "Quality Assurance",
    "Risk Management",
    "Stakeholder Management",
    "Statistics",
)
_DUTIES = (
    "Led a team of {number} across three time zones and rebuilt its planning from the ground up.",
    "Cut the time from order to delivery by {number} % and wrote the handbook the others now use.",
    "Introduced a review of every incident; repeated ones fell by {number} % within a year.",
    "Owned the yearly budget, the relations to {number} suppliers and the move to a new platform.",
    "Prepared the board's quarterly figures and advised {number} departments on what they mean.",
)
_SPECIALIZATIONS = ("Internal Medicine", "Pediatrics", "Cardiology", "Family Medicine")

# What each option of a universal lookup pays for: the provider's name of it in the account call,
# and the profile's fields that stay away without it.
UNIVERSAL_ACTIONS = {
    "reveal_professional_email": "ProfessionalEmailEnrichment",
    "reveal_personal_email": "PersonalEmailEnrichment",
    "reveal_phone": "PhoneEnrichment",
    "reveal_detailed_person_enrichment": "PersonEnrichment",
    "reveal_healthcare_enrichment": "HealthcareEnrichment",
}
CONTACT_REVEALS = {"reveal_professional_email", "reveal_personal_email", "reveal_phone"}
_REVEALED_FIELDS = {
    "recommended_email": {"reveal_professional_email", "reveal_personal_email"},
    "emails": {"reveal_professional_email", "reveal_personal_email"},
    "recommended_personal_email": {"reveal_personal_email"},
    "current_personal_email": {"reveal_personal_email"},
    "recommended_professional_email": {"reveal_professional_email"},
    "current_work_email": {"reveal_professional_email"},
    "phones": {"reveal_phone"},
    "job_history": {"reveal_detailed_person_enrichment"},
    "education": {"reveal_detailed_person_enrichment"},
    "skills": {"reveal_detailed_person_enrichment"},
    "links": {"reveal_detailed_person_enrichment"},
    "npi_data": {"reveal_healthcare_enrichment"},
}
_CLASSIC_FIELDS = {"tags", "current_employer_industry"}  # universal profiles have no such fields
EMAIL_FIELDS = (
    "recommended_email",
    "recommended_personal_email",
    "recommended_professional_email",
    "current_work_email",
    "current_personal_email",
    "emails",
)


class Outcome(StrEnum):
    """How the lookup of a person ends."""

    FOUND = "found"
    WITHOUT_CONTACT = "without_contact"
    FAILED = "failed"
    NOT_FOUND = "not_found"


class Fate(NamedTuple):
    """What becomes of a person's lookup, fixed by seed and person."""

    outcome: Outcome
    polls: int
    unknown_status: bool
    unknown_fields: bool
    first_stage: int


class Person(NamedTuple):
    """A person as somebody asked for them. What was asked for is echoed in the profile."""

    seed: int
    id: int
    name: str
    employer: str
    title: str
    linkedin_url: str | None
    email: str | None
    npi_number: int | None

    @property
    def has_npi(self) -> bool:
        """Whether the person is known as a healthcare professional."""
        return self.npi_number is not None


class _Career(NamedTuple):
    first_year: int
    present_since: str
    former_jobs: list[dict[str, Any]]
    education: list[dict[str, Any]]
    skills: Sequence[str]


class View(NamedTuple):
    """Which of a person's profiles is wanted.

    Attributes:
        contact: With e-mail addresses and phone numbers.
        unknown_fields: With fields the API's description does not know.
        reveals: The options a universal lookup paid for; None for the classic API.
    """

    contact: bool
    unknown_fields: bool
    reveals: frozenset[str] | None


def chance(seed: int, *about: object) -> float:
    """A number from 0 to 1 (exclusive) that is always the same for the same arguments."""
    return _hash(seed, *about) / 2**64


def person_id(seed: int, query: LookupQuery) -> int:
    """The provider's id of whoever this query means; an id asked for is returned as it is."""
    if query.id is not None:
        return query.id
    # 47 bits: too wide for a 32-bit column, exact in JavaScript, and two of a million people
    # share an id with a chance of less than one in two hundred.
    return 1 + _hash(seed, query.person_key()) % 2**47


def invent(seed: int, profile_id: int, query: LookupQuery) -> Person:
    """The person a query means, with the name and employer it gives or invented ones."""
    name, employer, title = query.name, query.current_employer, query.title
    if not (name and employer and title):
        draw = _Draw(_hash(seed, "names", profile_id))
        invented_name = f"{draw.one(_FIRST_NAMES)} {draw.one(_LAST_NAMES)}"
        name, employer, title = (
            name or invented_name,
            employer or draw.one(_COMPANIES),
            title or draw.one(_DEPARTMENTS)[2],
        )
    return Person(
        seed=seed,
        id=profile_id,
        name=name,
        employer=employer,
        title=title,
        linkedin_url=query.linkedin_url or query.linkedin_ext_url,
        email=query.email,
        npi_number=query.npi_number,
    )


def fate(settings: SandboxSettings, profile_id: int) -> Fate:
    """What becomes of a person's lookup under these settings."""
    # Four independent numbers from 0 to 1 out of one hash, which is what a fate costs.
    digest = _digest(settings.seed, "fate", profile_id, size=32)
    for_outcome, for_status, for_fields, for_polls = (
        number / 2**64 for number in struct.unpack(">4Q", digest)
    )
    outcome = Outcome.FOUND
    end_of_share = 0.0
    for share, unlucky in (
        (settings.not_found, Outcome.NOT_FOUND),
        (settings.failed, Outcome.FAILED),
        (settings.without_contact, Outcome.WITHOUT_CONTACT),
    ):
        end_of_share += share
        if for_outcome < end_of_share:
            outcome = unlucky
            break
    unknown_status = for_status < settings.unknown_status
    polls = settings.complete_after_polls + int(for_polls * (settings.extra_polls + 1))
    return Fate(
        outcome=outcome,
        # Someone has to see the undocumented status: at least one poll comes before the end.
        polls=max(polls, 1) if unknown_status else polls,
        unknown_status=unknown_status,
        unknown_fields=for_fields < settings.unknown_fields,
        first_stage=profile_id % 3,
    )


@lru_cache(maxsize=_CACHED_PROFILES)
def encoded_profile(person: Person, view: View) -> bytes:
    """The JSON of `profile`, kept for the next time."""
    return msgspec.json.encode(profile(person, view))


class _Draw:
    """Draws from one reproducible row of numbers.

    The random module's generator would cost a third of a profile, nearly all of it to set it up
    anew for each person; this one (Knuth's MMIX) begins with its seed.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed

    def number(self, least: int, most: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        # The upper half: the lower bits of such a row repeat after a few draws.
        return least + ((self._state >> 32) * (most - least + 1) >> 32)

    def one(self, things: Sequence[_T]) -> _T:
        return things[self.number(0, len(things) - 1)]

    def some(self, things: Sequence[_T], least: int, most: int) -> Sequence[_T]:
        """Neighbours among the things, their row being a circle."""
        count = self.number(least, most)
        start = self.number(0, len(things) - 1)
        return (*things[start:], *things[:start])[:count]

    def happens(self, percent: int) -> bool:
        return self.number(1, 100) <= percent


def profile(person: Person, view: View) -> dict[str, Any]:
    """A finished profile, without the fields that belong to the lookup (id, status, metadata)."""
    draw = _Draw(_hash(person.seed, "profile", person.id))
    city, region, country, country_code, latitude, longitude, area_code = draw.one(_PLACES)
    slug = _slug(person.name)
    domain = f"{_slug(person.employer)}.example.com"
    linkedin_url = person.linkedin_url or f"https://www.linkedin.com/in/{slug}-{person.id}"
    career = _career(person.seed, draw.number(1, _CAREERS))
    department, sub_department, _ = draw.one(_DEPARTMENTS)
    present_job = _job(draw, person.employer, person.title, (department, sub_department))
    present_job["start_date"] = career.present_since
    fields: dict[str, Any] = {
        "name": person.name,
        "profile_pic": f"https://images.example.com/people/{person.id}.jpg",
        "linkedin_url": linkedin_url,
        "linkedin_url_active": draw.happens(95),
        "connections": draw.number(20, 500),
        "links": {
            "linkedin": linkedin_url,
            "github": f"https://github.example.com/{slug}",
            "blog": f"https://{slug}.example.org/",
        },
        "location": f"{city}, {region}, {country}",
        "city": city,
        "region": region,
        "country": country,
        "country_code": country_code,
        "region_latitude": latitude,
        "region_longitude": longitude,
        "birth_year": career.first_year - 22,
        "current_title": person.title,
        "current_employer": person.employer,
        "current_employer_id": _company_id(person.employer),
        "current_employer_domain": domain,
        "current_employer_website": f"https://www.{domain}",
        "current_employer_linkedin_url": _company_url(person.employer),
        "current_employer_industry": draw.one(_INDUSTRIES),
        "tags": "",
        "job_history": [present_job, *career.former_jobs],
        "education": career.education,
        "skills": career.skills,
    }
    fields |= _emails(person, draw, slug, domain, contact=view.contact)
    fields["phones"] = _phones(draw, area_code) if view.contact else []
    if person.has_npi:
        fields["npi_data"] = {
            "npi_number": str(person.npi_number),
            "credentials": draw.one(("MD", "DO", "NP")),
            "license_number": f"{region}{draw.number(100_000, 999_999)}",
            "specialization": draw.one(_SPECIALIZATIONS),
        }
    if view.unknown_fields:
        _add_unknown_fields(fields, draw)
    if view.reveals is not None:
        return _revealed(fields, view.reveals)
    return fields


@lru_cache(maxsize=_CAREERS)
def _career(seed: int, number: int) -> _Career:
    """One of the careers people share: they are the larger part of a profile's cost."""
    draw = _Draw(_hash(seed, "career", number))
    present_since = end_date = f"{draw.number(2015, 2025)}-{draw.number(1, 12):02}-01"
    former_jobs = []
    for _ in range(draw.number(2, 4)):
        start_date = f"{int(end_date[:4]) - draw.number(1, 5)}-{draw.number(1, 12):02}-01"
        department, sub_department, title = draw.one(_DEPARTMENTS)
        job = _job(draw, draw.one(_COMPANIES), title, (department, sub_department))
        former_jobs.append(
            job | {"start_date": start_date, "end_date": end_date, "is_current": False}
        )
        end_date = start_date
    first_year = int(end_date[:4])
    education = [
        {
            "major": draw.one(_MAJORS),
            "school": school,
            "degree": degree,
            "start": year - 4,
            "end": year,
        }
        for school, degree, year in zip(
            draw.some(_SCHOOLS, 1, 2), _DEGREES, (first_year, first_year + 5), strict=False
        )
    ]
    return _Career(first_year, present_since, former_jobs, education, draw.some(_SKILLS, 4, 12))


def _job(draw: _Draw, company: str, title: str, departments: tuple[str, str]) -> dict[str, Any]:
    """A job without its dates."""
    city, region, _, country_code, *_ = draw.one(_PLACES)
    duties = draw.some(_DUTIES, 2, 3)
    return {
        "start_date": None,
        "end_date": "Present",
        "company": company,
        "company_name": company,
        "company_id": _company_id(company),
        "company_linkedin_url": _company_url(company),
        "company_city": city,
        "company_region": region,
        "company_country_code": country_code,
        "department": departments[0],
        "sub_department": departments[1] if draw.happens(80) else None,
        "title": title,
        "highest_level": draw.one(_LEVELS),
        "description": " ".join([duty.format(number=draw.number(3, 60)) for duty in duties]),
        "last_updated": f"2026-{draw.number(1, 9):02}-{draw.number(1, 28):02}T08:30:00Z",
        "is_current": True,
    }


def _emails(
    person: Person, draw: _Draw, slug: str, domain: str, *, contact: bool
) -> dict[str, Any]:
    """The six e-mail fields; null and empty for a person without contact data."""
    if not contact:
        return dict.fromkeys(EMAIL_FIELDS) | {"emails": []}
    work = person.email or f"{slug.replace('-', '.')}@{domain}"
    private = f"{slug}{draw.number(1, 99)}@mail.example.net"
    former = f"{slug.split('-', maxsplit=1)[0]}@{_slug(draw.one(_COMPANIES))}.example.org"
    emails = [
        {
            "email": email,
            "smtp_valid": validity,
            "type": kind,
            "last_validation_check": f"2026-{draw.number(1, 9):02}-11T12:00:00Z",
            "grade": grade,
        }
        for email, validity, kind, grade in (
            (work, "valid", "professional", "A"),
            (private, draw.one(("valid", "accept-all")), "personal", "A-"),
            (former, draw.one(("invalid", "unknown")), "professional", "F"),
        )
    ]
    return {
        "recommended_email": work,
        "recommended_personal_email": private,
        "recommended_professional_email": work,
        "current_work_email": work,
        "current_personal_email": private,
        "emails": emails,
    }


def _phones(draw: _Draw, area_code: str) -> list[dict[str, Any]]:
    lines = draw.some(range(100, 200), 1, 3)
    return [
        {
            "number": f"+1 {area_code}-555-0{line}",
            "e164": f"+1{area_code}5550{line}",
            "country_code": "1",
            "extension": str(draw.number(10, 99)) if position == 1 else None,
            "type": ("mobile", "direct dial", "other")[position],
            "grade": ("A", "A-", "B")[position],
            "validity": "valid" if position == 0 else "unknown",
            "recommended": position == 0,
            "premium": position == 0,
            "last_checked": f"2026-{draw.number(1, 9):02}-03T06:00:00Z",
        }
        for position, line in enumerate(lines)
    ]


def _add_unknown_fields(fields: dict[str, Any], draw: _Draw) -> None:
    """Fields of every shape that no description mentions, as new ones appear at the provider."""
    fields["pronouns"] = draw.one(("she/her", "he/him", "they/them", None))
    fields["intent_signals"] = {
        "topics": draw.some(_SKILLS, 2, 2),
        "score": draw.number(0, 100) / 100,
    }
    fields["job_history"][0]["remote"] = draw.happens(50)
    for email in fields["emails"]:
        email["catch_all"] = {"checked": True, "servers": ["mx1.example.net"]}


def _revealed(fields: dict[str, Any], reveals: frozenset[str]) -> dict[str, Any]:
    """A universal profile: only what was paid for, and the birth year as text."""
    kept = {
        name: value
        for name, value in fields.items()
        if name not in _CLASSIC_FIELDS
        and (name not in _REVEALED_FIELDS or _REVEALED_FIELDS[name] & reveals)
    }
    kept["birth_year"] = str(fields["birth_year"])
    if "emails" in kept:
        kinds = {kind for kind in ("professional", "personal") if f"reveal_{kind}_email" in reveals}
        kept["emails"] = [email for email in fields["emails"] if email["type"] in kinds]
        if "professional" not in kinds:
            kept["recommended_email"] = fields["recommended_personal_email"]
    return kept


@lru_cache(maxsize=_CACHED_COMPANIES)
def _company_id(company: str) -> int:
    return _hash(0, "company", _slug(company)) % 2**31


@lru_cache(maxsize=_CACHED_COMPANIES)
def _company_url(company: str) -> str:
    return f"https://www.linkedin.com/company/{_slug(company)}-{_company_id(company)}"


@lru_cache(maxsize=_CACHED_COMPANIES)
def _slug(text: str) -> str:
    """Text as a part of an address: ASCII letters, digits and hyphens, at most 60 of them."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:60].strip("-")
    return slug or f"x{_hash(0, text) % 10**8}"


def _hash(seed: int, *about: object) -> int:
    """64 bits that do not change from one process to the next, as `hash` does."""
    return int.from_bytes(_digest(seed, *about, size=8))


def _digest(seed: int, *about: object, size: int) -> bytes:
    text = "\x1f".join(map(str, (seed, *about)))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
