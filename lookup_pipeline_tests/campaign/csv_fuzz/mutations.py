"""Damage to a file's bytes, of the sorts that happen and of those that hurt readers of CSV."""

from collections.abc import Callable, Sequence
from random import Random

# What CSV readers trip over: quotes, delimiters, line ends, NULs, marks, bytes that are no UTF-8,
# other line separators, what begins other kinds of files.
_TOKENS = (
    *(b'"', b'""', b'",', b',"', b'"\n', b'\n"', b"'", b"\\", b'\\"', b'"""'),
    *(b",", b";", b"\t", b"|", b",,,,", b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n", b"\n\n\n"),
    *(b"\0", b"\0\0", b"\xff", b"\xfe", b"\x80", b"\xc3", b"\xe2\x80", b"\xed\xa0\x80", b"\x81"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\x85", b"\x0b"),
    *(b"\x0c", b"\x1c", b"\x1a", b"\xd8\x00", b"\x00\xd8", b"\x00\n", b"\n\x00", b'"\x00'),
    *(b"sep=;\n", b'"sep=,"\r\n', b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"%PDF"),
    *(b"name,company\n", b"email\n", b"N/A", b"nan", b"=1+1", b"a@example.com", b" ", b"\xc2\xa0"),
)

_Change = Callable[[Random, bytearray, Sequence[bytes]], None]


def mutate(random: Random, corpus: Sequence[bytes]) -> bytes:
    """A file of the corpus, damaged in one to a dozen places."""
    content = bytearray(random.choice(corpus))
    for _ in range(random.choice((1, 1, 2, 3, 5, 12))):
        random.choice(_CHANGES)(random, content, corpus)
    return bytes(content)


def shrink(content: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """A smaller file that fails as well: whatever can be left out is."""
    size = len(content) // 2
    while size:
        start = 0
        while start < len(content):
            shorter = content[:start] + content[start + size :]
            if fails(shorter):
                content = shorter
            else:
                start += size
        size //= 2
    return content


def _place(random: Random, content: bytearray) -> int:
    return random.randint(0, len(content))


def _span(random: Random, content: Sequence[int], most: int = 400) -> slice:
    start = random.randint(0, len(content))
    return slice(start, start + random.randint(1, random.choice((2, 20, most))))


def _flip(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def _any_byte(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    content.insert(_place(random, content), random.randrange(256))


def _token(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    place = _place(random, content)
    content[place:place] = random.choice(_TOKENS) * random.choice((1, 1, 1, 2, 7))


def _token_in_place(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    token = random.choice(_TOKENS)
    place = _place(random, content)
    content[place : place + len(token)] = token


def _token_at_start(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    content[0:0] = random.choice(_TOKENS)


def _wide_token(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    """As UTF-16 writes it, where the file does."""
    place = _place(random, content) // 2 * 2
    token = random.choice(_TOKENS).decode("latin-1")
    content[place:place] = token.encode(random.choice(("utf-16-le", "utf-16-be")))


def _delete(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    del content[_span(random, content)]


def _duplicate(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    part = content[_span(random, content)]
    place = _place(random, content)
    content[place:place] = part * random.choice((1, 1, 2, 10))


def _splice(random: Random, content: bytearray, corpus: Sequence[bytes]) -> None:
    other = random.choice(corpus)
    place = _place(random, content)
    content[place:place] = other[_span(random, other)]


def _truncate(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    del content[_place(random, content) :]


def _replace_all(random: Random, content: bytearray, _corpus: Sequence[bytes]) -> None:
    """One sort of line end, quote or delimiter for another, from some place on."""
    old, new = random.sample((b"\n", b"\r\n", b"\r", b",", b";", b"\t", b'"', b"'", b" "), 2)
    place = _place(random, content)
    content[place:] = content[place:].replace(old, new)


_CHANGES: tuple[_Change, ...] = (
    _flip,
    _any_byte,
    _token,
    _token,
    _token_in_place,
    _token_at_start,
    _wide_token,
    _delete,
    _duplicate,
    _splice,
    _truncate,
    _replace_all,
)
