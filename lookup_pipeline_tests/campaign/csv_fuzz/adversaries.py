"""Big files that are meant to take for ever, or to take all of the memory."""

from collections.abc import Iterator

_HEADER = b"name,company,note\n"
_ROW = b"Ada Lovelace,Engines,x\n"


def adversaries(size: int) -> Iterator[tuple[str, bytes]]:
    """Each with what it is, of about so many bytes.

    One after the other: together they would be large.
    """

    def repeated(part: bytes, header: bytes = _HEADER) -> bytes:
        return header + part * (size // len(part))

    yield "a stray quotation mark in every line", repeated(b'"Ada,Engines,x\n')
    yield "quotation marks that close too early", repeated(b'x",,"y\n')
    yield "the same, with text behind", repeated(b'"x",,"y"z\n')
    yield "one quotation mark, then a line without an end", _HEADER + b'"' + b"x" * size
    yield "one quotation mark, then good rows", _HEADER + b'"' + repeated(_ROW, b"")
    yield "one in the middle", repeated(_ROW) + b'Bob,"Acme\n' + repeated(_ROW, b"")
    yield "stray marks far apart", repeated(b'"Bob,Acme,x\n' + _ROW * 2_000)
    yield "nothing but quotation marks", repeated(b'"')
    yield "nothing but quotation marks and line ends", repeated(b'"\n')
    yield "doubled marks in one field", _HEADER + b'Ada,Engines,"' + b'""' * (size // 2) + b'"\n'
    yield "one field of this size", _HEADER + b"Ada,Engines," + b"x" * size + b"\n"
    yield "one field with line breaks", repeated(b"x\n", _HEADER + b'Ada,Engines,"') + b'"\n'
    yield "a name of this size", _HEADER + b"a. " * (size // 3) + b",Engines,\n"
    yield "an address of this size", b"email\n" + b"a@" + b"b." * (size // 2) + b"\n"
    yield "a handle of this size", b"linkedin_url\nlinkedin.com/in/" + b"/" * size + b"\n"
    yield "brackets of this size", _HEADER + b"(" * size + b",Engines,\n"
    yield "very wide rows", repeated(b"," * 20_000 + b"\n")
    yield "a very wide header row", b"name,company" + b",x" * (size // 20) + b"\nAda,Engines\n"
    yield "empty lines", repeated(b"\n") + _ROW
    yield "a line end before each line end", repeated(b"Ada,Engines,x\r\r\n")
    yield "NULs", repeated(b"Ada,Engines,\0\n")
    yield "nothing but NULs", bytes(size)
    yield "bytes of no encoding", repeated(b"\x81\x8d\x8f,\x90,\x9d\n")
    yield "nothing but bytes beyond ASCII", _HEADER + b"\xe9" * size
    yield "an unclosed title line", b'"' + _HEADER * 3 + repeated(_ROW, b"")
    yield "no header row", repeated(_ROW, b"")
    yield "delimiters of all sorts", repeated(b",;\t|" * 20 + b"\n")
