"""Which spellings of an employer are one employer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.employers import compare_employer


@pytest.mark.parametrize(
    "spellings",
    [
        ["Salesforce", "Salesforce, Inc.", "salesforce.com inc", "SALESFORCE.COM, INC."],
        ["Acme GmbH & Co. KG", "ACME", "Acme gmbh", "Acme GmbH and Co KG"],
        ["AT&T", "AT & T Inc.", "at and t"],
        ["Procter & Gamble", "Procter and Gamble Co.", "PROCTER & GAMBLE COMPANY"],
        ["Novo Nordisk A/S", "Novo Nordisk", "Novo Nordisk AS"],
        ["Fiat S.p.A.", "Fiat SpA", "FIAT"],
        ["Acme Sdn. Bhd.", "Acme"],
        ["Acme Pty Ltd", "Acme Pty. Limited", "acme"],
        ["Booking.com B.V.", "booking.com", "Booking"],
        [
            "Société Générale SA",
            "SOCIÉTÉ\u00a0GÉNÉRALE",
            "Socie\u0301te\u0301 Ge\u0301ne\u0301rale",
        ],
        ["L\u2019Oréal", "L'Oréal S.A."],
        ["U.S. Steel Corp.", "US Steel Corporation"],
        ["Acme S.A. de C.V.", "Acme SA de CV", "Acme"],
        ["Acme - Inc.", "Acme"],
        ["Acme\u00ae", "Acme\u2122 PLLC", "Acme mbH"],
        ["京都大学", "京都大学\u200b"],
    ],
)
def test_legal_forms_case_and_punctuation_do_not_make_another_employer(
    spellings: list[str],
) -> None:
    assert len({compare_employer(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme", "Acme Group"),
        ("Acme", "Acme Holding"),
        ("Acme", "Acme International"),
        ("Acme", "The Acme"),
        ("Acme Health", "Acme Wealth"),
        ("Société", "Societe"),
        ("Co-op", "Op"),
        ("example.com", "example.org"),
        ("Inc. Magazine", "Magazine"),
        ("Boys and", "Boys"),
        ("Banco de", "Banco"),
    ],
)
def test_words_accents_and_domains_make_another_employer(one: str, other: str) -> None:
    assert compare_employer(one) != compare_employer(other)


@pytest.mark.parametrize(
    ("name", "compared"), [("Inc.", "inc"), ("GmbH", "gmbh"), ("Co", "co"), (".com", ".com")]
)
def test_a_legal_form_alone_is_a_name(name: str, compared: str) -> None:
    assert compare_employer(name) == compared


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
# fmt: off
PIECES = [
    "Acme", "&", "and", "Inc.", ",", "L.L.C.", "Co", "KG", ".com", "S.A.", "a/s", "(US)", "ß", "İ",
    "-", ".", "x.com", ";", "Inc.,", '"', "The",
]
# fmt: on
parts = st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join)


@settings(deadline=None, max_examples=500)
@given(words | parts)
def test_comparing_what_is_compared_changes_nothing(text: str) -> None:
    assert compare_employer(compare_employer(text)) == compare_employer(text)


@settings(deadline=None, max_examples=300)
@given(parts.filter(lambda text: any(map(str.isalnum, text))))
def test_something_of_an_employer_is_always_left(text: str) -> None:
    assert compare_employer(text)
