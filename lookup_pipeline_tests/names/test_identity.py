"""Which query is asked about a person, and which spellings are the same person."""

import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.identity import (
    Query,
    Requested,
    build_query,
    rejection_reasons,
)
from lookup_pipeline.names.text import fold, fold_identifier


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
        requested[field] = "?" if field != "name" else ""
    assert asked == [
        Query("v1:id:42", {"id": 42}),
        Query(
            "v1:linkedin:grace-hopper",
            {"linkedin_url": "https://www.linkedin.com/in/grace-hopper"},
        ),
        Query("v1:email:grace@example.com", {"email": "grace@example.com"}),
        Query("v1:npi:9000000015", {"npi_number": 9_000_000_015}),
        Query(
            "v1:name:grace hopper\tnavy",
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
    assert named(spelling) == "v1:name:jean o'brien-smith\tacme"
    assert named("X", spelling) == "v1:name:x\tjean o'brien-smith"


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


def test_the_employer_keeps_its_words_and_the_title_tells_nobody_apart() -> None:
    assert named("Ada", "Acme") != named("Ada", "Acme Inc.")
    assert identity(name="Ada", employer="Acme", title="CEO") == named("Ada")


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
    ],
)
def test_linkedin_urls_come_down_to_their_handle(url: str) -> None:
    assert identity(linkedin_url=url) == "v1:linkedin:grace-hopper"


def test_a_linkedin_handle_is_sent_in_its_own_case_and_percent_encoded() -> None:
    query = build_query(linkedin_url="fr.linkedin.com/in/Andr%C3%A9-Marie?x=1")
    assert query == Query(
        "v1:linkedin:andré-marie",
        {"linkedin_url": "https://www.linkedin.com/in/Andr%C3%A9-Marie"},
    )


def test_the_numbers_of_an_old_public_linkedin_url_tell_people_apart() -> None:
    query = build_query(linkedin_url="https://www.linkedin.com/pub/jo-doe/5/12a/3b4/")
    assert query == Query(
        "v1:linkedin:jo-doe/5/12a/3b4",
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
    ],
)
def test_what_is_no_profile_is_not_asked_for(url: str) -> None:
    assert build_query(linkedin_url=url) is None
    assert (
        "is not the address of a LinkedIn profile"
        in rejection_reasons(Requested(linkedin_url=url))[0]
    )


@pytest.mark.parametrize(
    ("text", "sent"),
    [("42", 42), ("0042", 42), (" 42 ", 42), ("\uff14\uff12", 42), ("9" * 18, int("9" * 18))],
)
def test_an_id_is_a_positive_whole_number(text: str, sent: int) -> None:
    assert build_query(id=text) == Query(f"v1:id:{sent}", {"id": sent})


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "1e3", "x", "1,000", "9" * 19, "²x", "1 2"])
def test_anything_else_is_no_id(text: str) -> None:
    assert rejection_reasons(Requested(id=text)) == [f"id '{text}' is not a positive whole number"]


@pytest.mark.parametrize("text", ["123456789", "12345678901", "0123456789", "123-456-789", "x"])
def test_an_npi_number_has_ten_digits(text: str) -> None:
    assert rejection_reasons(Requested(npi_number=text)) == [
        f"npi_number '{text}' is not a 10-digit number"
    ]


def test_an_email_keeps_its_case_when_sent_but_not_in_the_identity() -> None:
    assert build_query(email=" Ada.L+x@Example.ORG ") == Query(
        "v1:email:ada.l+x@example.org", {"email": "Ada.L+x@Example.ORG"}
    )
    assert identity(email="a@straße.example") != identity(email="a@strasse.example")


@pytest.mark.parametrize(
    "text",
    ["foo", "@x.org", "a@", "a@b", "a@b..org", "a b@x.org", "a@x.org;b@x.org", "Ada <a@x.org>"],
)
def test_anything_else_is_no_email(text: str) -> None:
    assert rejection_reasons(Requested(email=text)) == [f"email '{text}' is not an e-mail address"]


def test_a_reason_does_not_quote_a_whole_paragraph() -> None:
    (reason,) = rejection_reasons(Requested(email="x" * 1000))
    assert len(reason) < 120


def test_a_row_that_says_nothing_is_told_what_it_could_say() -> None:
    (reason,) = rejection_reasons(Requested(title="CEO", email=" "))
    assert reason == "no id, linkedin_url, email, npi_number, nor a name with an employer"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
maybe = st.none() | texts | st.sampled_from(list(EVERYTHING.values()))
people = st.builds(Requested, maybe, maybe, maybe, maybe, maybe, maybe, maybe)


@settings(deadline=None)
@given(people)
def test_a_query_or_a_reason_and_never_both(person: Requested) -> None:
    assert (build_query(*person) is None) == bool(rejection_reasons(person))


@settings(deadline=None)
@given(people)
def test_asking_again_with_what_is_sent_is_the_same_query(person: Requested) -> None:
    query = build_query(*person)
    if query is None:
        return
    sent = {key: str(value) for key, value in query.parameters.items()}
    sent["employer"] = sent.pop("current_employer", "")
    assert build_query(**sent) == query


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
