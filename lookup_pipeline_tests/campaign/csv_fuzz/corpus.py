"""Realistic exports, from which `mutations` starts: what spreadsheets, CRMs and people write."""

import gzip

import zstandard

_PEOPLE = """\
name,current_employer,title,email,linkedin_url,note
Grace Hopper,US Navy,Rear Admiral,,,
"Lovelace, Ada","Analytical Engines, Ltd.",,ada@example.com,,"met at the fair"
Emmy Noether,Bryn Mawr College,Professor,,https://www.linkedin.com/in/emmy-noether,
"Jean ""Betty"" Bartik",ENIAC,,,,"said ""call me""
next week"
,,,,,
Alan Turing,,,,,no employer
Kurt Gödel,IAS,,,,ünïcödé
José Álvarez,Compañía,,n/a,-,
"""

_EXCEL = """\
sep=;
Name;Firma;Company;E-Mail;Notizen\r
"Müller, Jürgen";Müller & Söhne GmbH;Müller;jm@example.de;"zwei\r
Zeilen"\r
Sørensen;Ærø A/S;Ærø;;\r
Łukasz;;;;;;\r
"""

_REPORT = """\
Contacts of the fair
Exported on 2026-01-05

First Name,Last Name,Company,E-mail Address,,Phone
Ada,Lovelace,Engines,,x,+44 1
Grace,,Navy,grace@example.com,,
,,,,,
"""

_TABS = """\
id\tnpi_number\tname\tcompany\tnotes
5244\t\tAda Lovelace\tEngines\tfirst
\t1234567893\t\t\t
=1+1\t\t@SUM(A1)\t#N/A\tformulas
'5245\t\tN/A\tnull\t1.5E+10
"""

_PIPES = """\
linkedin_url|comment\r
linkedin.com/in/ada|a "quoted" word\r
https://www.linkedin.com/sales/lead/AAA|none\r
https://de.linkedin.com/in/j%C3%BCrgen?trk=x|\r
\r
"""

_EMAILS = "email\nada@example.com\ngrace@example.org\n\nnobody\n"

_WIDE = (
    ",".join(["name", "company", *(f"field {n}" for n in range(60))])
    + "\n"
    + "".join(",".join([f"Person {n}", "Acme", *["x"] * 60]) + "\n" for n in range(6))
)

_LONG = "name,company,crm_id\n" + "".join(f"Person {n},Employer {n % 7},{n}\n" for n in range(150))


def corpus() -> list[bytes]:
    """Each file, in the encodings and packings in which such files come."""
    texts = [_PEOPLE, _EXCEL, _REPORT, _TABS, _PIPES, _EMAILS, _WIDE, _LONG]
    files = [text.encode() for text in texts]
    files += [text.replace("\n", "\r").encode() for text in (_PEOPLE, _TABS)]
    files += [text.encode("utf-8-sig") for text in (_PEOPLE, _EXCEL)]
    files += [text.encode("utf-16") for text in (_PEOPLE, _TABS)]
    files += [text.encode("utf-16-le") for text in (_EXCEL, _REPORT)]
    files += [text.encode("cp1252", "replace") for text in (_PEOPLE, _EXCEL)]
    files += [text.encode("mac_roman", "replace") for text in (_PEOPLE, _EXCEL)]
    files.append(_PEOPLE.encode("utf-32"))
    files += [gzip.compress(_PEOPLE.encode()), zstandard.compress(_EXCEL.encode())]
    return files
