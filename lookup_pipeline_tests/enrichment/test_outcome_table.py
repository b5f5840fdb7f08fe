"""The table in docs/reliability.md, row by row, over real sockets and through the real flows."""

import re
import ssl
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from lookup_pipeline.datasets.columns import FAILED_LOOKUPS, PENDING_LOOKUPS, PROFILES
from lookup_pipeline.enrichment import outcomes
from lookup_pipeline.enrichment.report import SubmissionStoppedError
from lookup_pipeline.ledger import FailureKind, State
from lookup_pipeline.ledger.resubmission import requeue
from lookup_pipeline.rocketreach import ErrorClass, RocketReachClient, RocketReachError, transport
from lookup_pipeline.rocketreach import client as client_module
from lookup_pipeline.rocketreach.models import KNOWN_STATUSES
from lookup_pipeline_tests.enrichment.pipeline import (
    DAY,
    MovableClock,
    Pipeline,
    opened_pipeline,
    people,
)
from lookup_pipeline_tests.rocketreach.raw_server import (
    Answer,
    Ending,
    Request,
    Said,
    closed_port,
    closing_server,
    full_server,
    http,
    raw_server,
)

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

PEOPLE = people(3)
SHE, *OTHERS = (name for name, _ in PEOPLE)
"""Who meets the row's trouble, and who asks beside her."""

LOOKUP, POLL = "lookup", "poll"

HTML = b"<html><body><h1>Welcome</h1></body></html>"
HER_ID = 1
UNDER_WAY = ("waiting", "searching", "progress", "queued", "not queued")

# A retry is due within the test only where a row is about it.
LONG, SHORT = timedelta(minutes=1), timedelta(milliseconds=10)


# --- the table ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One row of the table, for one of the calls it is about."""

    name: str
    place: str
    error_class: str
    becomes: str


def table() -> list[Row]:
    rows = []
    for line in PAGE.read_text(encoding="utf-8").split("| what happened |")[1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        name, places, error_class, becomes, _ = (cell.strip() for cell in line.split("|")[1:-1])
        each = re.fullmatch(r"`([^`]+)`(?: \(poll: `([^`]+)`\))?", becomes)
        assert each is not None, line
        assert (places == "both") == (each[2] is not None), line
        assert places in {"both", LOOKUP, POLL}, line
        if places == "both":
            rows += [Row(name, LOOKUP, error_class, each[1]), Row(name, POLL, error_class, each[2])]
        else:
            rows.append(Row(name, places, error_class, each[1]))
    return rows


# --- the stage ---------------------------------------------------------------------------------


@dataclass
class Stage:
    """One ledger and one folder, with whichever API the scenario plays."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    clock: MovableClock = field(default_factory=MovableClock)
    errors: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def at(self, base_url: str) -> Iterator[Pipeline]:
        with opened_pipeline(self.root, base_url, "key") as pipeline:
            pipeline.clock = self.clock
            yield pipeline

    @contextmanager
    def api(self, answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Pipeline]:
        with raw_server(answer, tls=tls) as server, self.at(server.base_url) as pipeline:
            yield pipeline
            self.sent += server.lookups()

    def listen(self) -> None:
        """Note the class of every error that the client raises."""
        for name in ("account", "lookup", "check_status"):
            self.monkeypatch.setattr(RocketReachClient, name, self._heard(name))

    def _heard(self, name: str) -> Callable[..., Any]:
        call = getattr(RocketReachClient, name)

        def heard(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except RocketReachError as error:
                self.errors.add(error.error_class.value)
                raise

        return heard

    def retry_after(self, pause: timedelta) -> None:
        self.monkeypatch.setattr(outcomes, "FIRST_RETRY", pause)
        self.monkeypatch.setattr(outcomes, "SLOWEST_RETRY", pause)

    def outcome(self, name: str = SHE) -> str:
        """Where somebody stands: by the files, which agree with the ledger and hold everybody."""
        with self.at("http://127.0.0.1:1/api/v2") as pipeline:
            pipeline.publish()
            rows = pipeline.ledger_rows()
            places = {
                dataset: {row["requested_name"]: row for row in pipeline.rows(dataset)}
                for dataset in (PROFILES, FAILED_LOOKUPS, PENDING_LOOKUPS)
            }
        published = [each for place in places.values() for each in place]
        assert sorted(published) == sorted(rows), "everybody stands in exactly one"
        row = rows[name]
        if row.state is State.COMPLETE:
            assert name in places[PROFILES]
            return "complete"
        if row.state in (State.FAILED, State.UNCONFIRMED):
            assert places[FAILED_LOOKUPS][name]["failure_kind"] == row.failure_kind
            assert places[FAILED_LOOKUPS][name]["failure_reason"]
            return (
                "unconfirmed" if row.state is State.UNCONFIRMED else f"failed: {row.failure_kind}"
            )
        assert places[PENDING_LOOKUPS][name]["state"] == row.state.value
        return row.state.value


Scenario = Callable[[Stage], None]
Trouble = Callable[[Stage, str], AbstractContextManager[Pipeline]]


def id_of(name: str) -> int:
    return int("".join(filter(str.isdigit, name))) + 1


def profile(profile_id: int, status: str | None = "complete", **more: object) -> bytes:
    emails = [{"email": f"{profile_id}@example.com"}]
    body = {"id": profile_id, "status": status, "emails": emails if status == "complete" else None}
    return msgspec.json.encode(body | more)


def under_way(request: Request) -> bytes:
    return http(200, profile(id_of(request.query["name"][0]), "searching"))


def ended(request: Request) -> bytes:
    return http(200, profile(id_of(request.query["name"][0])))


def all_ended(request: Request) -> bytes:
    return http(200, b"[%s]" % b",".join(profile(int(each)) for each in request.query["ids"]))


Reply = Callable[[Request], bytes | Said]


def provider(lookup: Reply = ended, poll: Reply = all_ended) -> Answer:
    """A provider that answers as told, and is well otherwise."""

    def answer(request: Request) -> bytes | Said:
        if request.path.endswith("/account/"):
            return http(200, b"{}")
        return (poll if request.path.endswith("/checkStatus") else lookup)(request)

    return answer


def constantly(said: bytes | Said | Reply) -> Reply:
    return said if callable(said) else lambda _request: said


def for_her(reply: Reply, *, else_: Reply = ended) -> Reply:
    """A lookup's answer for her only."""
    return lambda request: (reply if request.query["name"] == [SHE] else else_)(request)


def submitted(stage: Stage, pipeline: Pipeline) -> None:
    pipeline.register(PEOPLE)
    with suppress(SubmissionStoppedError):
        pipeline.submit(seconds=20)


def all_under_way(stage: Stage) -> None:
    with stage.api(provider(under_way)) as pipeline:
        submitted(stage, pipeline)
        assert pipeline.states() == {State.IN_FLIGHT: len(PEOPLE)}
    stage.clock.advance(seconds=10)


# --- ways to be in trouble ---------------------------------------------------------------------


def said(
    lookup: bytes | Said | Reply, poll: bytes | Said | Reply | None = None, **constants: Any
) -> Trouble:
    """The API answers her lookup so, and polls alike; with constants of the client changed."""

    @contextmanager
    def trouble(stage: Stage, place: str) -> Iterator[Pipeline]:
        for name, value in constants.items():
            stage.monkeypatch.setattr(client_module, name, value)
        answer = (
            provider(for_her(constantly(lookup)))
            if place == LOOKUP
            else provider(poll=constantly(lookup if poll is None else poll))
        )
        with stage.api(answer) as pipeline:
            yield pipeline

    return trouble


def answered(one: bytes) -> Trouble:
    """The API answers so: the object alone to a lookup, in a list to a poll."""
    return said(http(200, one), http(200, b"[%s]" % one))


def address(find: Callable[[], AbstractContextManager[str]]) -> Trouble:
    """Something else is at the API's address."""

    @contextmanager
    def trouble(stage: Stage, _place: str) -> Iterator[Pipeline]:
        connect_fast = httpx.Timeout(5, connect=0.3)
        stage.monkeypatch.setattr(client_module, "TIMEOUT", connect_fast)
        stage.monkeypatch.setattr(client_module, "POLL_TIMEOUT", connect_fast)
        with find() as base_url, stage.at(base_url) as pipeline:
            yield pipeline

    return trouble


@contextmanager
def refusing() -> Iterator[str]:
    yield f"http://127.0.0.1:{closed_port()}/api/v2"


@contextmanager
def unknown_host() -> Iterator[str]:
    yield "http://nobody.invalid/api/v2"


@contextmanager
def no_url() -> Iterator[str]:
    yield "http://127.0.0.1:port/api/v2"


@contextmanager
def without_tls() -> Iterator[str]:
    with raw_server(http(200, b"{}")) as server:
        yield server.base_url.replace("http:", "https:")
        assert server.requests == []


@contextmanager
def self_signed(stage: Stage, _place: str) -> Iterator[Pipeline]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(stage.root))
    with raw_server(provider(), tls=tls) as server, stage.at(server.base_url) as pipeline:
        yield pipeline
        assert server.requests == []


@contextmanager
def lost_before_it_is_written(stage: Stage, _place: str) -> Iterator[Pipeline]:
    write_at_once = transport._Stream.write

    def write_late(*arguments: Any, **options: Any) -> None:
        time.sleep(0.1)
        write_at_once(*arguments, **options)

    stage.monkeypatch.setattr(transport._Stream, "write", write_late)
    with closing_server() as base_url, stage.at(base_url) as pipeline:
        yield pipeline
    stage.monkeypatch.setattr(transport._Stream, "write", write_at_once)


def certificate(folder: Path) -> Path:
    """A certificate for this machine that nobody has signed, with its key."""
    from cryptography import x509  # noqa: PLC0415 - slow to load
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def gzip(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    return packing.compress(body) + packing.flush()


def trickling(_request: Request) -> Said:
    def parts() -> Iterator[bytes]:
        for byte in http(200, profile(HER_ID)):
            yield bytes([byte])
            time.sleep(0.05)

    return Said(parts())


def huge(request: Request) -> bytes:
    ids = request.query.get("ids")
    filler = "x" * (50 * 2**20)
    if ids is None:
        return http(200, profile(HER_ID, skills=[filler]))
    entries = [profile(int(ids[0]), skills=[filler]), *(profile(int(each)) for each in ids[1:])]
    return http(200, b"[%s]" % b",".join(entries))


CUT = profile(HER_ID)[:-5]
SILENT = httpx.Timeout(0.3)

# Rows that differ in nothing but the trouble: the flows, and what is asserted, are the same.
TROUBLES: dict[str, Trouble] = {
    "connection refused": address(refusing),
    "host name not found": address(unknown_host),
    "no connection in time": address(full_server),
    "no TLS": address(without_tls),
    "certificate not trusted": self_signed,
    "connection lost before the request was written": lost_before_it_is_written,
    "base URL is none": address(no_url),
    "no answer in time": said(Said([], Ending.SILENCE), TIMEOUT=SILENT, POLL_TIMEOUT=SILENT),
    "answer that trickles": said(trickling, LOOKUP_SECONDS=0.4, POLL_SECONDS=0.4),
    "connection reset after the request": said(Said([], Ending.RESET)),
    "connection closed without an answer": said(Said([], Ending.CLOSE)),
    "body cut short": said(Said([http(200, CUT, promised=500)], Ending.CLOSE)),
    "body of 50 MB": said(huge),
    "status answer of 50 MB": said(huge),
    "body that unpacks to more than its limit": said(
        http(200, gzip(bytes(70 * 2**20)), Content_Encoding="gzip")
    ),
    "body that can't be unpacked": said(http(200, b"no gzip", Content_Encoding="gzip")),
    "200 with HTML": said(http(200, HTML, "text/html")),
    "200 with other JSON": said(http(200, b'"fine"')),
    "200 with several profiles": said(http(200, b"[%s, %s]" % (profile(1), profile(2)))),
    "200 without a body": said(http(200)),
    "no HTTP": said(Said([b"220 mail.example.net ESMTP\r\n"], Ending.CLOSE)),
    "429 with Retry-After": said(http(429, b"{}", Retry_After="600")),
    "429 without Retry-After": said(http(429, b"{}")),
    "429 with its body cut short": said(Said([http(429, b"{", promised=99)], Ending.CLOSE)),
    "503 with Retry-After": said(http(503, b"{}", Retry_After="600")),
    "503 without Retry-After": said(http(503, HTML, "text/html")),
    "425": said(http(425)),
    "500": said(http(500, b'{"error": "Try again later."}')),
    "502": said(http(502, HTML, "text/html")),
    "504": said(http(504, HTML, "text/html")),
    "any other 5xx": said(http(520)),
    "408": said(http(408)),
    "400": said(http(400, b'{"name": ["Too odd."]}')),
    "400 about lookup_type alone": said(http(400, b'{"lookup_type": ["Not a choice."]}')),
    "422": said(http(422, b'{"detail": "No."}')),
    "any other 4xx": said(http(418, b"{}")),
    "404": said(http(404, b'{"error": "No profile was found."}')),
    "404 without JSON": said(http(404, HTML, "text/html")),
    "404 with its body cut short": said(Said([http(404, b"{", promised=99)], Ending.CLOSE)),
    "401": said(http(401, b'{"detail": "Invalid API key."}')),
    "402": said(http(402, b'{"detail": "Out of credits."}')),
    "403": said(http(403, b'{"detail": "Not in your plan."}')),
    "redirect": said(http(302, Location="/login")),
    "complete": answered(profile(HER_ID)),
    "failed": answered(profile(HER_ID, "failed")),
    "no status": answered(profile(HER_ID, None)),
    "id never given": said(http(200, b'{"status": "searching"}')),
    "id forgotten": said(http(200, b"[]")),
    "id that nobody asked about": said(http(200, b"[%s]" % profile(999))),
    "entry that can't be read": said(
        http(200, b'[null, {"id": "one", "status": "complete"}, [], %s]' % profile(2))
    ),
}


def met(trouble: Trouble, place: str) -> Scenario:
    """She meets the trouble when she is sent, or when she is asked about."""

    def in_lookup(stage: Stage) -> None:
        with trouble(stage, LOOKUP) as pipeline:
            submitted(stage, pipeline)

    def in_poll(stage: Stage) -> None:
        all_under_way(stage)
        with trouble(stage, POLL) as pipeline:
            pipeline.poll()

    return in_lookup if place == LOOKUP else in_poll


# --- rows with a story of their own ------------------------------------------------------------


def every_500(stage: Stage) -> None:
    stage.retry_after(SHORT)
    with stage.api(provider(constantly(http(500, b"{}")))) as pipeline:
        submitted(stage, pipeline)
        assert pipeline.submit().waits_until is not None, "not at once"
    assert stage.sent == dict.fromkeys([SHE, *OTHERS], 3)
    # Each of them is sent once more below, and no more.
    stage.sent.clear()


def her_500(stage: Stage) -> None:
    stage.retry_after(SHORT)
    with stage.api(provider(for_her(constantly(http(500, b"{}"))))) as pipeline:
        submitted(stage, pipeline)
    assert stage.sent[SHE] == 3


def free_profile(place: str) -> Scenario:
    def play(stage: Stage) -> None:
        met(answered(profile(HER_ID, emails=[])), place)(stage)
        with stage.at("http://127.0.0.1:1/api/v2") as pipeline:
            assert SHE not in pipeline.paid_for()

    return play


def every_status_under_way(place: str) -> Scenario:
    assert set(UNDER_WAY) == KNOWN_STATUSES - {"complete", "failed"}

    def play(stage: Stage) -> None:
        for status in UNDER_WAY:
            stage.clock.advance(minutes=1)
            if place == LOOKUP:
                with stage.api(provider(constantly(http(200, profile(9, status))))) as pipeline:
                    pipeline.register([*PEOPLE, (f"Eve {status}", "Elsewhere")])
                    pipeline.submit()
                name = f"Eve {status}"
            else:
                if not stage.sent:
                    all_under_way(stage)
                with stage.api(provider(poll=in_list(status))) as pipeline:
                    assert pipeline.poll().asked == len(PEOPLE)
                name = SHE
            assert stage.outcome(name) == "in_flight"
            assert pending(stage, name)["api_status"] == status

    return play


def in_list(status: str) -> Reply:
    return lambda request: http(
        200, b"[%s]" % b",".join(profile(int(each), status) for each in request.query["ids"])
    )


def pending(stage: Stage, name: str) -> dict[str, Any]:
    with stage.at("http://127.0.0.1:1/api/v2") as pipeline:
        (row,) = (row for row in pipeline.rows(PENDING_LOOKUPS) if row["requested_name"] == name)
    return row


def status_never_heard_of(place: str) -> Scenario:
    def play(stage: Stage) -> None:
        met(answered(profile(HER_ID, "cross_checking")), place)(stage)
        with stage.at("http://127.0.0.1:1/api/v2") as pipeline:
            assert pipeline.publish().unknown_statuses == {"cross_checking": 1}
        assert pending(stage, SHE)["api_status"] == "cross_checking"

    return play


def id_never_given_at_the_deadline(stage: Stage) -> None:
    with stage.api(provider(constantly(http(200, b'{"status": "searching"}')))) as pipeline:
        submitted(stage, pipeline)
        stage.clock.advance(hours=23)
        assert pipeline.poll().calls == 0
        assert stage.outcome() == "in_flight"
        stage.clock.advance(hours=2)
        assert pipeline.poll().calls == 0


def at_the_deadline(poll: Reply) -> Scenario:
    def play(stage: Stage) -> None:
        all_under_way(stage)
        with stage.api(provider(poll=poll)) as pipeline:
            stage.clock.advance(hours=23)
            pipeline.poll()
            assert stage.outcome() == "in_flight"
            stage.clock.advance(hours=2)
            pipeline.poll()

    return play


def after_the_deadline(status: str) -> Scenario:
    def play(stage: Stage) -> None:
        at_the_deadline(in_list("searching"))(stage)
        assert stage.outcome() == "failed: timed_out"
        stage.clock.advance(hours=2)
        with stage.api(provider(poll=in_list(status))) as pipeline:
            pipeline.poll()

    return play


def one_id_for_two(place: str) -> Scenario:
    """She and the next one are one person, spelt in two ways: the provider knows one id."""

    def same(status: str) -> Reply:
        def reply(request: Request) -> bytes:
            name = request.query["name"][0]
            return http(200, profile(id_of(name) if name == OTHERS[1] else HER_ID, status))

        return reply

    def play(stage: Stage) -> None:
        status = "complete" if place == LOOKUP else "searching"
        with stage.api(provider(same(status))) as pipeline:
            submitted(stage, pipeline)
            stage.clock.advance(seconds=10)
            report = pipeline.poll()
            assert report.calls == (place == POLL)
            assert pipeline.publish().credits == len(PEOPLE), "one for each lookup"
            profiles = {row["requested_name"]: row for row in pipeline.rows(PROFILES)}
            assert {profiles[name]["profile_id"] for name in (SHE, OTHERS[0])} == {HER_ID}
            assert profiles[SHE]["emails"] == profiles[OTHERS[0]]["emails"] != []

    return play


def late_word_about_a_complete_lookup(stage: Stage) -> None:
    """A poll hangs; another process asks meanwhile and is told the end; then the first hears."""
    all_under_way(stage)
    asked, told = threading.Event(), threading.Event()

    def hanging(_request: Request) -> bytes:
        asked.set()
        told.wait(20)
        return http(200, b"[%s, %s]" % (profile(HER_ID, "searching"), profile(2, "failed")))

    with stage.api(provider(poll=hanging)) as slow, ThreadPoolExecutor(1) as thread:
        poll = thread.submit(slow.poll)
        try:
            assert asked.wait(10)
            stage.clock.advance(minutes=1)
            with stage.api(provider()) as quick:
                assert quick.poll().settled == len(PEOPLE)
        finally:
            told.set()
        assert poll.result().asked == len(PEOPLE)
    assert stage.outcome(OTHERS[0]) == "complete"


def answer_to_a_lookup_that_was_given_up(stage: Stage) -> None:
    asked, told = threading.Event(), threading.Event()

    def hanging(request: Request) -> bytes:
        asked.set()
        told.wait(20)
        return ended(request)

    with (
        stage.api(provider(for_her(hanging))) as slow,
        stage.at("http://127.0.0.1:1/api/v2") as other,
        ThreadPoolExecutor(1) as thread,
    ):
        slow.register(PEOPLE)
        submission = thread.submit(slow.submit)
        try:
            assert asked.wait(10)
            until = time.monotonic() + 10
            # The process is alive and may prolong its claim between the two steps.
            while stage.outcome() != "unconfirmed" and time.monotonic() < until:
                stage.clock.advance(minutes=5)
                other.poll()
            assert stage.outcome() == "unconfirmed"
        finally:
            told.set()
        submission.result()


def order_while_a_poll_is_in_the_air(stage: Stage) -> None:
    """The provider ends the old search while the operator has a new request sent."""
    at_the_deadline(in_list("searching"))(stage)
    stage.clock.advance(hours=2)

    def failing_meanwhile(request: Request) -> bytes | Said:
        with stage.at("http://127.0.0.1:1/api/v2") as other, other.ledger.write() as connection:
            requeued = requeue(connection, DAY, [FailureKind.TIMED_OUT], stage.clock())
            assert requeued == len(PEOPLE)
        return in_list("failed")(request)

    with stage.api(provider(poll=failing_meanwhile)) as pipeline:
        assert pipeline.poll().calls == 1
    # Everybody may be sent once more now: the operator wants it.
    stage.sent.clear()


STORIES: dict[tuple[str, str], Scenario] = {
    ("500 three times, others are answered", LOOKUP): her_500,
    ("500 three times, nobody is answered", LOOKUP): every_500,
    ("id never given, deadline over", POLL): id_never_given_at_the_deadline,
    ("id forgotten, deadline over", POLL): at_the_deadline(constantly(http(200, b"[]"))),
    ("in flight, deadline over", POLL): at_the_deadline(in_list("searching")),
    ("complete after the deadline", POLL): after_the_deadline("complete"),
    ("failed after the deadline", POLL): after_the_deadline("failed"),
    ("failed, after an operator has had it sent again", POLL): order_while_a_poll_is_in_the_air,
    ("answer about a complete lookup", POLL): late_word_about_a_complete_lookup,
    ("answer to a lookup that was given up", LOOKUP): answer_to_a_lookup_that_was_given_up,
}
for each_place in (LOOKUP, POLL):
    STORIES |= {
        ("complete without contact data", each_place): free_profile(each_place),
        (", ".join(UNDER_WAY), each_place): every_status_under_way(each_place),
        ("status never heard of", each_place): status_never_heard_of(each_place),
        ("one id for two people", each_place): one_id_for_two(each_place),
    }


def scenario(row: Row) -> Scenario | None:
    if row.name in TROUBLES:
        return met(TROUBLES[row.name], row.place)
    return STORIES.get((row.name, row.place))


# --- the tests ---------------------------------------------------------------------------------


def test_every_row_of_the_table_has_a_scenario_and_every_scenario_a_row() -> None:
    rows = table()
    named = [(row.name, row.place) for row in rows]
    assert [each for each, number in Counter(named).items() if number > 1] == []
    assert [row for row in rows if scenario(row) is None] == []
    assert set(TROUBLES) - {row.name for row in rows} == set()
    assert set(STORIES) - set(named) == set()
    assert set(TROUBLES) & {name for name, _ in STORIES} == set()


def test_every_class_of_error_stands_in_the_table() -> None:
    assert {row.error_class for row in table()} == {each.value for each in ErrorClass} | {"answer"}


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row.name} ({row.place})")
def test_the_lookup_becomes_what_the_table_says_and_nobody_is_paid_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row
) -> None:
    play = scenario(row)
    assert play is not None, "the table has a row that no scenario plays"
    stage = Stage(tmp_path, monkeypatch)
    stage.retry_after(LONG)
    stage.listen()
    play(stage)
    assert stage.outcome() == row.becomes
    assert stage.errors == ({row.error_class} - {"answer"})
    # What she was sent while the trouble lasted, where it may have been processed.
    certain = row.place == LOOKUP and row.error_class in {"not processed", "account", "retryable"}
    if certain:
        stage.sent[SHE] = 0
    assert set(stage.sent.values()) <= {0, 1}
    once_it_is_over(stage, row)


def once_it_is_over(stage: Stage, row: Row) -> None:
    """The trouble is over, and everything runs again: who may be sent is, nobody else."""
    before = stage.sent[SHE]
    monkeypatch = stage.monkeypatch
    monkeypatch.setattr(client_module, "LOOKUP_SECONDS", 45.0)
    monkeypatch.setattr(client_module, "POLL_SECONDS", 15.0)
    monkeypatch.setattr(client_module, "TIMEOUT", httpx.Timeout(10))
    monkeypatch.setattr(client_module, "POLL_TIMEOUT", httpx.Timeout(10))
    with stage.at("http://127.0.0.1:1/api/v2") as pipeline:
        asked_about = pipeline.ledger_rows()[SHE].profile_id is not None
        everybody = [(name, f"Employer {id_of(name) - 1}") for name, _ in PEOPLE]
    with stage.api(provider()) as pipeline:
        pipeline.register(everybody)
        for _ in range(2):
            stage.clock.advance(hours=2)
            pipeline.submit()
            stage.clock.advance(minutes=10)
            pipeline.poll()
    assert max(stage.sent.values()) <= 1, "nobody is sent twice"
    sent_now = stage.sent[SHE] - before
    assert sent_now == (row.becomes == "queued")
    goes_on = row.becomes in {"in_flight", "failed: timed_out"} and asked_about
    expected = "complete" if row.becomes == "queued" or goes_on else row.becomes
    assert stage.outcome() == expected
