"""Every dataset's columns: names, types, descriptions. The one place they are written down.

The Parquet schema, the UI's column table, the checks and `docs/data-dictionary.md` all come from
here.
"""

from dataclasses import dataclass

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXT = pa.string()


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: as in the Parquet file.
        type: Arrow type, the same in every partition.
        description: what an analyst reads.
        nullable: whether it may be null.
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Dataset:
    """One published dataset, which is one Dagster asset.

    Attributes:
        name: of the asset and of the folder.
        description: the sentence an operator reads in the UI.
        columns: in file order.
    """

    name: str
    description: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Parquet file's schema, descriptions included."""
        return pa.schema(
            [
                pa.field(
                    column.name,
                    column.type,
                    nullable=column.nullable,
                    metadata={"description": column.description},
                )
                for column in self.columns
            ]
        )


def list_of(**fields: pa.DataType) -> pa.DataType:
    """The type of a list of structs."""
    return pa.list_(pa.struct(list(fields.items())))


SOURCE = (
    Column("source_file", TEXT, "The CSV file, as a path below the names folder.", nullable=False),
    Column(
        "source_row",
        pa.int64(),
        "The physical line on which the row starts, from 1, the header included.",
        nullable=False,
    ),
)

LOOKUP_ID = Column(
    "lookup_id",
    pa.int64(),
    "The lookup that serves the row. Rows about the same person share one.",
    nullable=False,
)

REQUESTED = (
    Column("requested_name", TEXT, "The name, as it stood in the file."),
    Column("requested_employer", TEXT, "The employer, as it stood in the file."),
    Column("requested_title", TEXT, "The job title, as it stood in the file."),
    Column("requested_linkedin_url", TEXT, "The LinkedIn URL, as it stood in the file."),
    Column("requested_email", TEXT, "The e-mail address, as it stood in the file."),
    Column("requested_npi_number", TEXT, "The NPI number, as it stood in the file."),
    Column("requested_id", TEXT, "The provider's profile id, as it stood in the file."),
)

IDENTIFYING = (LOOKUP_ID, *SOURCE, *REQUESTED)

SOURCE_COLUMNS = Column(
    "source_columns", pa.map_(TEXT, TEXT), "The CSV's further columns, by their header."
)

SUBMITTED_AT = Column("submitted_at", TIME, "When the lookup was sent to the provider.")

# The API's profile object, under its own names; `id` is `profile_id`, ahead of these.
PROFILE_FIELDS = (
    Column("status", TEXT, "The provider's status of the lookup."),
    Column("name", TEXT, "Full name."),
    Column("profile_pic", TEXT, "URL of a picture (deprecated by the provider)."),
    Column("linkedin_url", TEXT, "LinkedIn URL."),
    Column("linkedin_url_active", pa.bool_(), "Whether the LinkedIn URL still works."),
    Column("connections", pa.int64(), "Number of LinkedIn connections."),
    Column("location", TEXT, "Location as text."),
    Column("city", TEXT, "City."),
    Column("region", TEXT, "Region or state."),
    Column("country", TEXT, "Country."),
    Column("country_code", TEXT, "ISO 3166 code of the country."),
    Column("region_latitude", pa.float64(), "Latitude of the region, degrees."),
    Column("region_longitude", pa.float64(), "Longitude of the region, degrees."),
    Column("birth_year", pa.int64(), "Year of birth."),
    Column("current_title", TEXT, "Present job title."),
    Column("current_employer", TEXT, "Present employer."),
    Column("current_employer_id", pa.int64(), "The provider's id of the employer."),
    Column("current_employer_domain", TEXT, "The employer's domain."),
    Column("current_employer_website", TEXT, "The employer's website."),
    Column("current_employer_linkedin_url", TEXT, "The employer's LinkedIn URL."),
    Column("current_employer_industry", TEXT, "The employer's industry."),
    Column("recommended_email", TEXT, "The e-mail address the provider would use."),
    Column("recommended_personal_email", TEXT, "The personal address it would use."),
    Column("recommended_professional_email", TEXT, "The professional address it would use."),
    Column("current_work_email", TEXT, "Present address at work."),
    Column("current_personal_email", TEXT, "Present personal address."),
    Column("tags", TEXT, "The caller's tags at the provider."),
    Column("return_cached_emails", pa.bool_(), "Whether unverified addresses were allowed."),
    Column(
        "links",
        list_of(site=TEXT, url=TEXT),
        "Pages about the person: the API's object as a list, ordered by site.",
    ),
    Column(
        "emails",
        list_of(email=TEXT, smtp_valid=TEXT, type=TEXT, grade=TEXT, last_validation_check=TEXT),
        "E-mail addresses with their validation.",
    ),
    Column(
        "phones",
        list_of(
            number=TEXT,
            e164=TEXT,
            country_code=TEXT,
            extension=TEXT,
            type=TEXT,
            grade=TEXT,
            validity=TEXT,
            recommended=pa.bool_(),
            premium=pa.bool_(),
            last_checked=TEXT,
        ),
        "Phone numbers.",
    ),
    Column(
        "job_history",
        list_of(
            start_date=TEXT,
            end_date=TEXT,
            company=TEXT,
            company_name=TEXT,
            company_id=pa.int64(),
            company_linkedin_url=TEXT,
            company_city=TEXT,
            company_region=TEXT,
            company_country_code=TEXT,
            department=TEXT,
            sub_department=TEXT,
            title=TEXT,
            highest_level=TEXT,
            description=TEXT,
            last_updated=TEXT,
            is_current=pa.bool_(),
        ),
        "Positions held; `end_date` is a date or `Present`.",
    ),
    Column(
        "education",
        list_of(major=TEXT, school=TEXT, degree=TEXT, start=pa.int64(), end=pa.int64()),
        "Education; `start` and `end` are years.",
    ),
    Column("skills", pa.list_(TEXT), "Skills."),
    Column(
        "npi_data",
        list_of(npi_number=TEXT, credentials=TEXT, license_number=TEXT, specialization=TEXT),
        "The US register of health care providers: the API's object as a list of at most one.",
    ),
    Column(
        "profile_list",
        list_of(id=pa.int64(), name=TEXT),
        "The provider's list it was put on: the API's object as a list of at most one.",
    ),
    Column("metadata", TEXT, "JSON text of what was sent along with the lookup."),
)

NAMES = Dataset(
    "names",
    "The usable rows of a date's CSV files.",
    (
        *SOURCE,
        *REQUESTED,
        Column(
            "identity",
            TEXT,
            "By which rows mean the same person; begins with the version of the rules.",
            nullable=False,
        ),
        Column("query", TEXT, "JSON text of what is sent to the provider.", nullable=False),
        SOURCE_COLUMNS,
    ),
)

REJECTED_NAMES = Dataset(
    "rejected_names",
    "The rows of a date's CSV files that can't be looked up, each with every reason.",
    (
        *SOURCE,
        Column("reasons", pa.list_(TEXT), "Why the row can't be used: every reason."),
        Column("raw_row", TEXT, "The row as it stood in the file."),
    ),
)

LOOKUPS = Dataset(
    "lookups",
    "Which lookup serves each usable row. Materializing it registers the rows and submits what "
    "is new: this spends credits.",
    (
        *IDENTIFYING,
        Column(
            "reused",
            pa.bool_(),
            "Whether the lookup was known before this row: asked for by another file, date or row.",
            nullable=False,
        ),
    ),
)

PROFILES = Dataset(
    "profiles",
    "The completed profiles, one row for each row of the CSV files that found one. A profile stays "
    "until a newer one of the same person replaces it.",
    (
        *IDENTIFYING,
        SUBMITTED_AT,
        Column("completed_at", TIME, "When the finished profile arrived."),
        Column("profile_id", pa.int64(), "The provider's id of the person."),
        Column(
            "refresh_state",
            TEXT,
            "Where the lookup stands that is to replace this profile: `queued`, `submitting`, "
            "`in_flight`; or `failed`, `unconfirmed` if it brought none. Null without one.",
        ),
        Column(
            "refresh_failure_kind",
            TEXT,
            "Why that lookup brought no profile, as in `failed_lookups`.",
        ),
        *PROFILE_FIELDS,
        Column("extra", TEXT, "JSON text of what the provider sent and no column holds."),
        SOURCE_COLUMNS,
    ),
)

FAILED_LOOKUPS = Dataset(
    "failed_lookups",
    "The rows whose lookup ended without a profile, with the reason.",
    (
        *IDENTIFYING,
        Column(
            "failure_kind",
            TEXT,
            "`not_found`, `failed`, `invalid_query`, `server_error`, `timed_out` or `unconfirmed`.",
            nullable=False,
        ),
        Column("failure_reason", TEXT, "The provider's words, or ours where it said nothing."),
        Column("http_status", pa.int64(), "HTTP status of the answer that ended it."),
        Column("attempts", pa.int64(), "How often it was sent.", nullable=False),
        SUBMITTED_AT,
        Column("failed_at", TIME, "When it ended."),
    ),
)

PENDING_LOOKUPS = Dataset(
    "pending_lookups",
    "The rows whose lookup is still queued or under way.",
    (
        *IDENTIFYING,
        Column("state", TEXT, "`queued`, `submitting` or `in_flight`.", nullable=False),
        Column("api_status", TEXT, "The provider's status, as received."),
        Column(
            "profile_id",
            pa.int64(),
            "The provider's id of the person, where it is known: the lookup can be asked about.",
        ),
        SUBMITTED_AT,
        Column("last_polled_at", TIME, "When the provider was asked last."),
    ),
)

DATASETS = (NAMES, REJECTED_NAMES, LOOKUPS, PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
