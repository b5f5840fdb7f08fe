"""Names as they stand in files, and as they are sent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup_pipeline.names.person_names import LONGEST, clean_name, is_name


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Dr. Grace Hopper", "Grace Hopper"),
        ("Ms Grace Hopper", "Grace Hopper"),
        ("Prof. Dr. rer. nat. Emmy Noether", "Emmy Noether"),
        ("Prof. Dr.-Ing. Max Müller", "Max Müller"),
        ("Sra. María López", "María López"),
        ("DR Grace Hopper", "Grace Hopper"),
        ("Hopper, DR Grace", "Grace Hopper"),
        ("Dr Ing Hans Ott", "Hans Ott"),
        ("Hopper, Dr. Grace", "Grace Hopper"),
    ],
)
def test_titles_go(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize("name", ["Ms. Smith", "Dr. King", "Mr. T", "Miss Piggy", "Sir Tim"])
def test_a_title_stays_where_one_word_would_be_left(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("written", "sent"),
    [("MS. SMITH", "Ms. Smith"), ("Dr. Smith, PhD", "Dr. Smith"), ("Mr. (Bob) Smith", "Mr. Smith")],
)
def test_a_title_stays_with_a_last_name_whatever_else_is_cleaned(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize(
    "name", ["M.S. Srinivasan Iyer", "M.R. Srinivasan Iyer", "D.R. Vijay Kumar", "MS Vijay Kumar"]
)
def test_initials_that_read_like_titles_stay(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("written", "sent"),
    [("Dr. Phil Van Dyke", "Phil Van Dyke"), ("Dr. Pol de Jong", "Pol de Jong")],
)
def test_first_names_that_read_like_faculties_stay(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize("name", ["Don Johnson", "Dean Martin", "Lord Byron", "Rector Anna Doe"])
def test_first_names_that_are_titles_too_stay(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Grace Hopper, PhD", "Grace Hopper"),
        ("Grace Hopper Ph.D.", "Grace Hopper"),
        ("Grace Hopper, M.D., Ph.D.", "Grace Hopper"),
        ("Grace Hopper MD, MBA", "Grace Hopper"),
        ("Grace Hopper, RN, BSN", "Grace Hopper"),
        ("Hopper, Grace, PhD", "Grace Hopper"),
        ("Grace Hopper Esq.", "Grace Hopper"),
        ("Grace Hopper - PhD", "Grace Hopper"),
        ("GRACE HOPPER, RN", "Grace Hopper"),
        ("HOPPER, GRACE, MA", "Grace Hopper"),
    ],
)
def test_credentials_go(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize(
    "name", ["Yo-Yo Ma", "Anna Do", "Jane Ma", "Minh Ba", "Ada Pa", "Md Rahman", "Jack Ma MA"]
)
def test_last_names_that_look_like_credentials_stay(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Sammy Davis Jr", "Sammy Davis Jr."),
        ("Sammy Davis, JR.", "Sammy Davis Jr."),
        ("Davis, Sammy, Jr.", "Sammy Davis Jr."),
        ("Davis Jr., Sammy", "Sammy Davis Jr."),
        ("Davis, Sammy Jnr", "Sammy Davis Jr."),
        ("Sammy Davis Sr.", "Sammy Davis Sr."),
        ("Robert Smith iii", "Robert Smith III"),
        ("ROBERT SMITH II, MD", "Robert Smith II"),
    ],
)
def test_what_tells_a_father_from_his_son_stays_in_one_spelling(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Smith, Jr.", "Smith Jr."),
        ("SMITH, JR", "Smith Jr."),
        ("Smith, Snr", "Smith Sr."),
        ("Smith, III", "Smith III"),
        ("de la Cruz, Sr.", "de la Cruz Sr."),
        ("Smith, Jr., MD", "Smith Jr."),
    ],
)
def test_a_suffix_behind_a_comma_is_no_first_name(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Hopper, Grace", "Grace Hopper"),
        ("Hopper,Grace", "Grace Hopper"),
        ("de la Cruz, María", "María de la Cruz"),
        ("van Beethoven, Ludwig", "Ludwig van Beethoven"),
        ("HOPPER, GRACE", "Grace Hopper"),
        ("García Márquez, Gabriel", "Gabriel García Márquez"),
        ("Hopper,", "Hopper"),
    ],
)
def test_the_last_name_first_is_put_last(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize("name", ["A, B, C", "Smith Jones, MA, Anna", "Ada, Bob, and Eve"])
def test_more_commas_than_a_name_has_are_left_alone(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("GRACE HOPPER", "Grace Hopper"),
        ("MARY-JANE O'BRIEN", "Mary-Jane O'Brien"),
        ("ΑΛΈΞΗΣ ΠΑΠΆΣ", "Αλέξης Παπάς"),
        ("ЮЛИЯ ЖДАНОВА", "Юлия Жданова"),
    ],
)
def test_shouting_ends(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize("name", ["ada lovelace", "Ronald McDonald", "bell hooks", "RONALD McDOE"])
def test_a_name_that_does_not_shout_keeps_its_case(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "written",
    [
        "Grace (Amazing Grace) Hopper",
        'Grace "Amazing" Hopper',
        "Grace “Amazing” Hopper",
        "Grace 'Amazing' Hopper",
        "Grace «Amazing» Hopper",
        "Grace [Amazing] Hopper",
        "Grace Hopper (she/her)",
        "(Rear Admiral) Grace Hopper",
        "🚀 Grace Hopper ✅",
        "Grace ⭐️ Hopper",
    ],
)
def test_nicknames_pronouns_and_emoji_go(written: str) -> None:
    assert clean_name(written) == "Grace Hopper"


@pytest.mark.parametrize(
    ("written", "sent"),
    [("Grace (Hopper)", "Grace Hopper"), ('"Grace" Hopper', "Grace Hopper"), ("(Grace)", "Grace")],
)
def test_what_is_half_of_a_name_is_no_nickname(written: str, sent: str) -> None:
    assert clean_name(written) == sent


@pytest.mark.parametrize(
    "name",
    [
        "Mary-Jane Smith-Jones",
        "Conan O'Brien",
        "Gabriel García Márquez",
        "Jean-Luc de la Tour d\u2019Auvergne",
        "湯川 秀樹",
        "김철수",
        "محمد علي",
        "יצחק רבין",
        "महात्मा गांधी",
        "Юлия Жданова",
        "Nguyễn Văn A",
        "J.R.R. Tolkien",
        "Björk",
        "Łukasz Ząb",
    ],
)
def test_names_of_all_scripts_are_left_alone(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("Kurt Go\u0308del", "Kurt Gödel"),
        ("Kurt\u00a0\u200bGödel\u200e", "Kurt Gödel"),
        ("\u202bמשה דיין\u202c", "משה דיין"),
        ("Kurt\x07 Gödel\x7f", "Kurt Gödel"),
        ("山田太郎（やまだ）", "山田太郎"),  # noqa: RUF001 - Japanese brackets
    ],
)
def test_marks_that_cannot_be_seen_go_and_combining_marks_join(written: str, sent: str) -> None:
    assert clean_name(written) == sent


def test_the_joiners_of_persian_and_indic_words_stay() -> None:
    for name in ("می\u200cخوش", "क्\u200dष"):
        assert clean_name(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada", True),
        ("湯川", True),
        ("R2-D2", True),
        ("ada@example.com", False),
        ("https://example.com/ada", False),
        ("www.example.com", False),
        ("linkedin.com/in/ada", False),
        ("+1 555 0100", False),
        ("12345", False),
        ("x" * LONGEST, True),
        ("x" * (LONGEST + 1), False),
    ],
)
def test_what_can_be_a_name(text: str, expected: bool) -> None:
    assert is_name(text) is expected


# fmt: off
PIECES = [
    "Ada", "GRACE", "Hopper", "O'Brien", "Dr.", "Mr", "Prof.", "rer.", "nat.", "PhD", "M.D.", "MD",
    "Md", "MA", "Ma", "Jr.", "Sr", "II", "iii", ",", "(she/her)", "(", ")", '"Amazing"', '"', "'",
    "\u201cx\u201d", "«", "»", "[x", "🚀", "-", "\u2013", "é", "Go\u0308del", "湯川",
    "\uff08やまだ\uff09",
    "ß", "İ", "ŉ", "\u017f", "x)", ".", "|", "@",
]
# fmt: on
messy = st.lists(st.sampled_from(PIECES), max_size=7).map(" ".join)


@settings(deadline=None, max_examples=500)
@given(messy | st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_cleaning_a_cleaned_name_changes_nothing(text: str) -> None:
    assert clean_name(clean_name(text)) == clean_name(text)


@settings(deadline=None, max_examples=300)
@given(messy.filter(lambda text: any(map(str.isalpha, text))))
def test_something_of_a_name_is_always_left(text: str) -> None:
    assert any(map(str.isalpha, clean_name(text)))
