"""Which query is asked about a person, and which spellings are the same person."""

import hashlib
import sys
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names import employers, identifiers, person_names, values
from lookup_pipeline.names.identity import RULES_VERSION, Query, Requested, build_query
from lookup_pipeline.names.text import clean, fold, fold_identifier
from lookup_pipeline_tests.names.helpers import reasons_of


def identity(**requested: str) -> str | None:
    query = build_query(**requested)
    return query.identity if query else None


def named(name: str, employer: str = "Acme") -> str | None:
    return identity(name=name, employer=employer)


EVERYTHING = {
    "id": "42",
    "linkedin_url": "https://www.linkedin.com/in/grace-hopper",
    "email": "grace@example.com",
    "npi_number": "9000000015",
    "name": "Grace Hopper",
    "employer": "Navy",
    "title": "Rear Admiral",
}


def test_the_strongest_valid_identifier_is_asked_for_and_nothing_else() -> None:
    requested = dict(EVERYTHING)
    asked = []
    for field in ("id", "linkedin_url", "email", "npi_number", "name"):
        asked.append(build_query(**requested))
        requested[field] = "no such thing" if field != "name" else ""
    assert asked == [
        Query("v3:id:42", {"id": 42}),
        Query(
            "v3:linkedin:grace-hopper",
            {"linkedin_url": "https://www.linkedin.com/in/grace-hopper"},
        ),
        Query("v3:email:grace@example.com", {"email": "grace@example.com"}),
        Query("v3:npi:9000000015", {"npi_number": 9_000_000_015}),
        Query(
            "v3:name:grace hopper\tnavy",
            {"name": "Grace Hopper", "current_employer": "Navy", "title": "Rear Admiral"},
        ),
    ]
    assert build_query(**requested) is None


def test_what_is_sent_is_clean_text_in_its_own_case() -> None:
    query = build_query(name=" Kurt\u00a0 Go\u0308del\u200b ", employer="The\nINSTITUTE", title=" ")
    assert query is not None
    assert query.parameters == {"name": "Kurt Gödel", "current_employer": "The INSTITUTE"}


@pytest.mark.parametrize(
    "spelling",
    [
        "jean o'brien-smith",
        "JEAN  O\u2019BRIEN\u2013SMITH",
        "\tJean\u00a0O\u02bcBrien\u2011Smith ",
        "\uff2aean O\uff07Brien\u2212Smith",
        "Jean O\u00b4Brien-Smith",
        "Jean\u200b O'Brien-\u00adSmith",
    ],
)
def test_case_white_space_and_typography_do_not_make_another_person(spelling: str) -> None:
    assert named(spelling) == "v3:name:jean o'brien-smith\tacme"
    assert named("X", spelling) == "v3:name:x\tjean o'brien-smith"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("José", "Jose"),
        ("Müller", "Mueller"),
        ("Anna Maria", "Annamaria"),
        ("湯川 秀樹", "湯川秀樹"),
    ],
)
def test_accents_and_words_tell_people_apart(one: str, other: str) -> None:
    assert named(one) != named(other)
    assert named("X", one) != named("X", other)


@pytest.mark.parametrize("name", ['Dr. ="Ada Byron"', '="Ada Byron" (Countess)', "Ada Byron,"])
def test_what_stands_behind_a_title_is_unpacked_as_well(name: str) -> None:
    assert named(name) == named("Ada Byron")


def test_a_name_that_is_no_value_once_it_is_clean_is_none() -> None:
    assert named("N/A,") is None
    assert reasons_of(name="N/A,", employer="Acme")


def test_the_title_tells_nobody_apart() -> None:
    assert identity(name="Ada", employer="Acme", title="CEO") == named("Ada")


def test_an_identity_leaves_out_the_legal_form_and_the_query_does_not() -> None:
    query = build_query(name="Ada", employer="Acme, Inc.")
    assert query is not None
    assert query.identity == named("Ada", "Acme")
    assert query.parameters["current_employer"] == "Acme, Inc."


def test_an_employer_keeps_its_other_words() -> None:
    assert named("Ada", "Acme") != named("Ada", "Acme Group")
    assert named("Ada", "Acme") != named("Ada", "New Acme")


def test_a_name_cannot_run_over_into_the_employer() -> None:
    assert named("A B", "C") != named("A", "B C")
    assert named("A\tB", "C") != named("A", "B\tC")


@pytest.mark.parametrize(
    "url",
    [
        "https://www.linkedin.com/in/grace-hopper",
        "http://uk.linkedin.com/in/Grace-Hopper/?trk=people#top",
        "LINKEDIN.COM/in/grace-hopper/en",
        "//m.linkedin.com/mwlite/in/grace-hopper",
        " https://www.linkedin.com//in/grace%2Dhopper/ ",
        "https://www.linkedin.com/in/grace%252Dhopper",
        "https://linkedin.com:443/pub/grace-hopper",
        "HTTPS://WWW.LINKEDIN.COM/IN/GRACE-HOPPER",
        "www.linkedin.com/in/grace-hopper/?originalSubdomain=uk",
        "https://www.linkedin.com/in/grace-hopper,",
        "https://www.linkedin.com/in/grace-hopper).",
        "https://www.linkedin.com/in/grace-hopper/details/experience/",
        "https://www.linkedin.com/in/grace-hopper?miniProfileUrn=urn%3Ali%3Afs",
    ],
)
def test_linkedin_urls_come_down_to_their_handle(url: str) -> None:
    assert identity(linkedin_url=url) == "v3:linkedin:grace-hopper"


@pytest.mark.parametrize(
    "handle", ["jane-doe-cpa%2C-mba-1a2b", "smith-%26-co", "%F0%9F%A6%84", "none-smith", "me-1"]
)
def test_percent_encoded_signs_are_letters_of_a_handle(handle: str) -> None:
    url = f"https://www.linkedin.com/in/{handle}"
    assert build_query(linkedin_url=url) == Query(
        f"v3:linkedin:{unquote(handle)}", {"linkedin_url": url}
    )


def test_a_linkedin_handle_is_sent_in_its_own_case_and_percent_encoded() -> None:
    query = build_query(linkedin_url="fr.linkedin.com/in/Andr%C3%A9-Marie?x=1")
    assert query == Query(
        "v3:linkedin:andré-marie",
        {"linkedin_url": "https://www.linkedin.com/in/Andr%C3%A9-Marie"},
    )


def test_the_numbers_of_an_old_public_linkedin_url_tell_people_apart() -> None:
    query = build_query(linkedin_url="https://www.linkedin.com/pub/jo-doe/5/12a/3b4/")
    assert query == Query(
        "v3:linkedin:jo-doe/5/12a/3b4",
        {"linkedin_url": "https://www.linkedin.com/pub/jo-doe/5/12a/3b4"},
    )


@pytest.mark.parametrize(
    "url",
    [
        "grace-hopper",
        "https://www.linkedin.com/company/acme",
        "https://www.linkedin.com/in/",
        "https://www.linkedin.com/in/%20/",
        "https://www.linkedin.com/in/a%2Fb",
        "https://www.linkedin.com/in/%FF",
        "https://www.linkedin.com/pub/dir/Jo/Doe",
        "https://linkedin.com.example.org/in/x",
        "https://notlinkedin.com/in/x",
        "https://example.org/?u=https://www.linkedin.com/in/x",
        "https://[linkedin.com/in/x",
        "https://www.linkedin.com/talent/profile/x",
        "https://lnkd.in/x",
        "https://www.linkedin.com/in/https://www.linkedin.com/in/x",
        "https://www.linkedin.com/in/www.linkedin.com/in/x",
        "https://www.linkedin.com/in/x,https://www.linkedin.com/in/y",
        "https://www.linkedin.com/in/x|y",
        "https://www.linkedin.com/in/null",
        "https://www.linkedin.com/in/None/",
        "https://www.linkedin.com/in/undefined",
        "https://www.linkedin.com/in/unavailable",
        "https://www.linkedin.com/in/me/",
        "https://www.linkedin.com/in/-",
        "https://www.linkedin.com/in/in/x",
        "https://www.linkedin.com/in/{{handle}}",
        "https://www.linkedin.com/pub/./1/2/3",
    ],
)
def test_what_is_no_profile_is_not_asked_for(url: str) -> None:
    assert build_query(linkedin_url=url) is None
    (reason,) = reasons_of(linkedin_url=url)
    assert "is not the address of a LinkedIn profile" in reason


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("42", 42),
        ("0042", 42),
        (" 42 ", 42),
        ("\uff14\uff12", 42),
        ("42.0", 42),
        ("042.00", 42),
        ("'42", 42),
        ('="0042"', 42),
        ("9" * 18, int("9" * 18)),
    ],
)
def test_an_id_is_a_positive_whole_number(text: str, sent: int) -> None:
    assert build_query(id=text) == Query(f"v3:id:{sent}", {"id": sent})


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1",
        "0.0",
        "1.5",
        "1.",
        ".1",
        "1e3",
        "5.244E+03",
        "x",
        "1,000",
        "5.000",
        "5²",
        "9" * 19,
        "9" * 19 + ".0",
        "²x",
        "1 2",
        "00342000002AbCd",
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    assert reasons_of(id=text) == [f"id '{text}' is not a positive whole number"]


@pytest.mark.parametrize("text", ["9000000015.0", "'9000000015", " 9000000015 "])
def test_an_npi_number_is_known_through_what_spreadsheets_make_of_it(text: str) -> None:
    assert identity(npi_number=text) == "v3:npi:9000000015"


@pytest.mark.parametrize("text", ["123456789", "12345678901", "0123456789", "123-456-789", "x"])
def test_an_npi_number_has_ten_digits(text: str) -> None:
    assert reasons_of(npi_number=text) == [f"npi_number '{text}' is not a 10-digit number"]


def test_an_email_keeps_its_case_when_sent_but_not_in_the_identity() -> None:
    assert build_query(email=" Ada.L+x@Example.ORG ") == Query(
        "v3:email:ada.l+x@example.org", {"email": "Ada.L+x@Example.ORG"}
    )
    assert identity(email="a@straße.example") != identity(email="a@strasse.example")


@pytest.mark.parametrize(
    "text",
    [
        "foo",
        "@x.org",
        "a@",
        "a@b",
        "a@b..org",
        "a b@x.org",
        "a@x.org ::: b@x.org",
        "a@x.org;b@x.org",
        "Ada <a@x.org>, Eve <e@x.org>",
        "|a@x.org|",
        "mailto%3Aa@x.org",
        ".a@x.org",
        "a@-x.org",
        "a@1.2",
        "a*@x.org",
    ],
)
def test_anything_else_is_no_email(text: str) -> None:
    assert reasons_of(email=text) == [f"email '{text}' is not an e-mail address"]


@pytest.mark.parametrize(
    "text",
    [
        "mailto:a@x.org",
        "Ada <a@x.org>",
        '"Lovelace, Ada" <a@x.org>',
        "<a@x.org>",
        "'a@x.org'",
        "'a@x.org",
        "\u201ca@x.org\u201d",
        "a@x.org;",
        "<mailto:a@x.org>",
        '="a@x.org"',
    ],
)
def test_what_mail_programs_put_around_an_email_goes(text: str) -> None:
    assert build_query(email=text) == Query("v3:email:a@x.org", {"email": "a@x.org"})


@pytest.mark.parametrize(
    "text",
    [
        "o'brien@x.org",
        "a.b+c_d-e@sub.x-y.co.uk",
        "ü@straße.example",
        "user@उदाहरण.भारत",
        "a@x.xn--p1ai",
    ],
)
def test_an_email_with_less_common_signs_is_one(text: str) -> None:
    assert build_query(email=text) == Query(f"v3:email:{text}", {"email": text})


def test_a_word_processors_apostrophe_is_an_apostrophe() -> None:
    assert identity(email="o\u2019brien@x.org") == identity(email="o'brien@x.org") is not None


def test_an_email_is_as_long_as_an_email_can_be() -> None:
    longest = "a@" + "x" * 248 + ".org"
    assert len(longest) == 254
    assert identity(email=longest) == f"v3:email:{longest}"
    assert identity(email=f"a{longest}") is None


def test_a_reason_does_not_quote_a_whole_paragraph() -> None:
    (reason,) = reasons_of(email="x" * 1000)
    assert len(reason) < 120


def test_a_row_that_says_nothing_is_told_what_it_could_say() -> None:
    (reason,) = reasons_of(title="CEO", email=" ")
    assert reason == "no id, linkedin_url, email, npi_number, nor a name with an employer"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
maybe = st.none() | texts | st.sampled_from(list(EVERYTHING.values()))
people = st.builds(Requested, maybe, maybe, maybe, maybe, maybe, maybe, maybe)


@settings(deadline=None)
@given(people)
def test_a_query_or_a_reason_and_never_both(person: Requested) -> None:
    assert (build_query(*person) is None) == bool(reasons_of(**person._asdict()))


@settings(deadline=None)
@given(people)
def test_asking_again_with_what_is_sent_is_the_same_query(person: Requested) -> None:
    query = build_query(*person)
    if query is None:
        return
    sent = {key: str(value) for key, value in query.parameters.items()}
    sent["employer"] = sent.pop("current_employer", "")
    assert build_query(**sent) == query


@pytest.mark.parametrize(
    "url",
    [
        "https://www.linkedin.com/sales/lead/ACwAAAbCd,NAME_SEARCH,x1",
        "https://www.linkedin.com/sales/people/ACwAAAbCd",
        "linkedin.com//sales/profile/1",
        "https://de.linkedin.com/SALES/lead/ACwAAAbCd?x=1",
    ],
)
def test_sales_navigators_urls_are_not_asked_for_and_have_a_reason_of_their_own(url: str) -> None:
    assert build_query(linkedin_url=url) is None
    (reason,) = reasons_of(linkedin_url=url)
    assert "is a Sales Navigator address, which names nobody outside of it" in reason


# Rows, and what is asked about them. Where a change of the rules changes one of these, raise
# RULES_VERSION: the ledger then learns the people's new identities. Otherwise everybody whose
# identity changed is looked up, and paid for, a second time.
GOLDEN_VERSION = 3
Golden = tuple[dict[str, str], str, dict[str, str | int]]
IDENTIFIERS: list[Golden] = [
    ({"id": "005244.0"}, "id:5244", {"id": 5244}),
    (
        {"linkedin_url": "https://de.linkedin.com/in/J%C3%BCrgen-M/?trk=x"},
        "linkedin:jürgen-m",
        {"linkedin_url": "https://www.linkedin.com/in/J%C3%BCrgen-M"},
    ),
    (
        {"linkedin_url": "http://m.linkedin.com/pub/jo-doe/5/12A/3b4/"},
        "linkedin:jo-doe/5/12a/3b4",
        {"linkedin_url": "https://www.linkedin.com/pub/jo-doe/5/12A/3b4"},
    ),
    (
        {"linkedin_url": "linkedin.com/in/ACwAAAbCdEf"},
        "linkedin:ACwAAAbCdEf",
        {"linkedin_url": "https://www.linkedin.com/in/ACwAAAbCdEf"},
    ),
    (
        {"email": "Ada.L+x@Example.ORG"},
        "email:ada.l+x@example.org",
        {"email": "Ada.L+x@Example.ORG"},
    ),
    ({"npi_number": "9000000015.0"}, "npi:9000000015", {"npi_number": 9_000_000_015}),
]
NAMES: list[Golden] = [
    (
        {"name": name, "employer": employer},
        f"name:{compared}",
        {"name": sent, "current_employer": employer},
    )
    for name, employer, compared, sent in [
        ("Ada Lovelace", "Acme", "ada lovelace\tacme", "Ada Lovelace"),
        ("Dr. ADA LOVELACE, PhD", "ACME, Inc.", "ada lovelace\tacme", "Ada Lovelace"),
        ("Lovelace, Ada M.", "Acme GmbH & Co. KG", "ada m lovelace\tacme", "Ada M. Lovelace"),
        ('Ada "Countess" Lovelace', "acme.com", "ada lovelace\tacme", "Ada Lovelace"),
        ("Ada (Countess) King-Noel", "AT&T", "ada king-noel\tat and t", "Ada King-Noel"),
        ("KING, MARTIN, JR", "S.C.L.C.", "martin king jr\tsclc", "Martin King Jr."),
        ("Smith, Jr.", "Acme", "smith jr\tacme", "Smith Jr."),
        ("Mendel II", "Abtei Brünn", "mendel ii\tabtei brünn", "Mendel II"),
        ("湯川 秀樹", "京都大学", "湯川 秀樹\t京都大学", "湯川 秀樹"),
    ]
]


@pytest.mark.parametrize(("requested", "compared", "sent"), [*IDENTIFIERS, *NAMES])
def test_a_version_of_the_rules_makes_the_same_identities_for_good(
    requested: dict[str, str], compared: str, sent: dict[str, str | int]
) -> None:
    assert build_query(**requested) == Query(f"v{GOLDEN_VERSION}:{compared}", sent), (
        "Another identity or another query of a row: raise RULES_VERSION, and then this table"
    )


def test_a_version_of_the_rules_has_the_same_lists_for_good() -> None:
    # Too many words for a table of identities: taken together, they are this.
    lists = [
        person_names._TITLES,
        person_names._FACULTIES,
        person_names._CREDENTIALS,
        person_names._SHORT_CREDENTIALS,
        person_names._SHOUTED_CREDENTIALS,
        [f"{word}: {kept}" for word, kept in person_names._GENERATIONS.items()],
        employers._LEGAL_FORMS,
        [f"{word}: {plain}" for word, plain in employers._SLASHED.items()],
        values._PLACEHOLDERS,
        identifiers._NO_HANDLES,
    ]
    digest = hashlib.sha256(repr([sorted(words) for words in lists]).encode()).hexdigest()
    assert digest[:12] == "bc28dd9ff59f", (
        "Another list makes other identities of some rows: raise RULES_VERSION, then this digest"
    )


def test_the_golden_table_is_of_the_current_rules() -> None:
    assert RULES_VERSION == GOLDEN_VERSION


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sammy Davis Jr.", "Sammy Davis Sr."),
        ("Sammy Davis Jr.", "Sammy Davis"),
        ("Robert Smith II", "Robert Smith III"),
        ("Mr. Smith", "Mrs. Smith"),
        ("Ada Lovelace", "Ada M. Lovelace"),
    ],
)
def test_fathers_sons_and_initials_stay_different_people(one: str, other: str) -> None:
    assert named(one) != named(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sammy Davis Jr.", "DAVIS, SAMMY, JR"),
        ("Sammy Davis, Jnr", "Davis Jr, Sammy"),
        ("Ada M. Lovelace", "Ada M Lovelace"),
        ("J.R.R. Tolkien", "J. R. R. Tolkien"),
    ],
)
def test_spellings_of_fathers_sons_and_initials_are_one_person(one: str, other: str) -> None:
    assert named(one) == named(other)


def test_linkedins_own_keys_tell_people_apart_by_their_case_and_chosen_handles_do_not() -> None:
    def at(handle: str) -> str | None:
        return identity(linkedin_url=f"https://www.linkedin.com/in/{handle}")

    for start in ("ACoAA", "ACwAA"):
        assert at(f"{start}AbCd") != at(f"{start}abcd")
        assert at(f"{start}AbCd") == f"v3:linkedin:{start}AbCd"
    assert at("Ada-Lovelace") == at("ada-lovelace")
    assert at("ACOaaAbCd") == at("acoaaabcd")


letters = st.text("abcxyzéüßøłñ'- ", min_size=1, max_size=12).filter(str.strip)


@settings(deadline=None)
@given(letters, letters, st.lists(st.sampled_from([str.upper, str.lower, str.title])), st.data())
def test_an_identity_does_not_depend_on_case_white_space_or_normal_form(
    name: str, employer: str, changes: list[Callable[[str], str]], data: st.DataObject
) -> None:
    spelled = name
    for change in changes:
        spelled = change(spelled)
    blank = data.draw(st.sampled_from([" ", "  ", "\u00a0", "\t", "\n\u3000"]))
    spelled = blank + spelled.replace(" ", blank) + blank
    if data.draw(st.booleans()):
        spelled = unicodedata.normalize("NFD", spelled)
    assert named(spelled, employer.upper()) == named(name, employer)


TITLES = ["Dr. ", "Mrs ", "PROF. ", "Prof. Dr. "]
CREDENTIALS = [", PhD", " Ph.D.", ", MBA", " MD", ", CPA, MBA"]
LEGAL_FORMS = [", Inc.", " inc", " L.L.C.", " GmbH", " GmbH & Co. KG", " S.A.", " Ltd.", ".com"]
people_words = st.text("bcdfgjkw", min_size=3, max_size=8).map(str.title)


@settings(deadline=None)
@given(
    st.lists(people_words, min_size=2, max_size=3),
    people_words,
    st.sampled_from(["", *TITLES]),
    st.sampled_from(["", *CREDENTIALS]),
    st.sampled_from(["", *LEGAL_FORMS]),
    st.booleans(),
    st.booleans(),
)
def test_titles_credentials_legal_forms_and_the_order_of_names_do_not_matter(
    words: list[str],
    employer: str,
    title: str,
    credential: str,
    legal_form: str,
    last_first: bool,
    shouted: bool,
) -> None:
    *first, last = words
    name = f"{last}, {' '.join(first)}" if last_first else " ".join(words)
    spelled = title + name + credential
    if shouted:
        spelled = spelled.upper()
    assert named(spelled, employer + legal_form) == named(" ".join(words), employer)


@settings(deadline=None)
@given(people)
def test_everything_that_is_sent_is_clean(person: Requested) -> None:
    query = build_query(*person)
    for value in query.parameters.values() if query else []:
        assert value
        assert isinstance(value, int) or value == clean(value)


@settings(deadline=None)
@given(texts)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold_identifier(fold_identifier(text)) == fold_identifier(text)


def test_folding_comes_to_an_end_for_every_character_that_folding_changes() -> None:
    characters = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    changed = [
        char for char in characters if unicodedata.normalize("NFKC", char.casefold()) != char
    ]
    assert len(changed) > 5_000
    for character in changed:
        assert fold(fold(character)) == fold(character)
        assert fold_identifier(fold_identifier(character)) == fold_identifier(character)
