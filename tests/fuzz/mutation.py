"""New inputs from known ones, by number: the same seed gives the same input."""

import io
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from flsim.observe.blocks import batch_of
from tests.fuzz.journals import Frame, frames_in, journal_of
from tests.fuzz.target import Target, corpus

_MOST_BYTES, _MOST_ROWS = 1 << 16, 500
NASTY = (
    *("", "0", "-1", "1e400", "-1e400", ".nan", ".inf", "NaN", "Infinity", "null", "~", "true", "on"),
    *("9" * 19, "9" * 39, "9" * 5000, "1e-400", "0x10", "1_000", "18446744073709551616", "-0.0", "2" * 8),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "a/b",
        "a\\b",
        "C:\\x",
        "~root",
        "%s%n",
        "{0}",
        "${HOME}",
    ),
    *("\0", "\ud800", "\ufeff", "\u202e", "٣", "é" * 50, "\r", "\t", "\n", "\x85", "\u2028", "😀"),
    *(
        "!!python/object/apply:os.system [id]",
        "!!binary aGk=",
        "&a [*a]",
        "*a",
        "<<: *a",
        "---",
        "...",
        "%TAG",
    ),
    *(
        '<!DOCTYPE x [<!ENTITY a "aaaa">]>',
        "&a;",
        "<![CDATA[",
        "=1+1",
        "@SUM(A1)",
        "+1",
        "-1+1",
        "'",
        '"',
        ",",
    ),
    *(
        "[" * 3000,
        "{" * 3000,
        '{"a":' * 3000,
        "- " * 100,
        "(" * 100,
        "x" * 5000,
        "1 Gbit/s",
        "5 weeks",
        "kind",
    ),
    *("os:system", "posix:_exit", "flsim.__main__:x", "this:s", "a:b:c", ":", ".:x", "tests.fuzz:__name__"),
)
_WORD = re.compile(rb"[-+]?[0-9]+(?:\.[0-9]+)?|[A-Za-z_][A-Za-z0-9_]*|\"[^\"]*\"")


def made(target: Target, number: int) -> bytes:
    """Return input `number` of a target: a known one that was changed a few times, or random bytes."""
    random = Random(f"{target.name}/{number}")  # of text: the hash of a tuple is another in each process
    known = corpus(target)
    if random.random() < 0.05 or not known:
        return random.randbytes(random.choice((0, 1, 2, 7, 64, 500)))
    content = random.choice(known)
    if target.form == "table" and random.random() < 0.7:
        return _table(content, random)
    if target.form == "journal" and random.random() < 0.9:
        return _journal(content, random)
    if target.form == "state" and random.random() < 0.8:
        return _state(content, random)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        if target.form in ("json", "text") and random.random() < 0.5:
            content = _json(content, random) if target.form == "json" else _word(content, random)
        else:
            content = random.choice(_CHANGES)(content, random, known)
    return content[:_MOST_BYTES]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _at(content: bytes, random: Random) -> int:
    return random.randrange(len(content) + 1)


def _flip(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    if not content:
        return b"\xff"
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << random.randrange(8))]) + content[place + 1 :]


def _cut(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    first, second = sorted((_at(content, random), _at(content, random)))
    return content[:first] + content[min(second, first + 400) :]


def _end(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    return content[: _at(content, random)]


def _again(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    first = _at(content, random)
    piece = content[first : first + random.choice((1, 8, 100))]
    return content[:first] + piece * random.choice((2, 10, 200)) + content[first:]


def _spliced(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    other = random.choice(known)
    return content[: _at(content, random)] + other[_at(other, random) :]


def _inserted(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    place = _at(content, random)
    return content[:place] + _encoded(random.choice(NASTY)) + content[place:]


def _lines(content: bytes, random: Random, known: Sequence[bytes]) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(3):
        case 0:
            lines[first], lines[second] = lines[second], lines[first]
        case 1:
            lines.insert(first, lines[second])
        case _:
            del lines[first]
    return b"".join(lines)


_Change = Callable[[bytes, Random, Sequence[bytes]], bytes]
_CHANGES: tuple[_Change, ...] = (_flip, _cut, _end, _again, _spliced, _inserted, _lines)


def _word(content: bytes, random: Random) -> bytes:
    """Put something nasty in the place of a word or a number."""
    found = list(_WORD.finditer(content))
    if not found:
        return content
    match = random.choice(found)
    return content[: match.start()] + _encoded(random.choice(NASTY)) + content[match.end() :]


_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        2**31,
        2**53,
        2**63,
        2**64,
        10**30,
        10**400,
        1e308,
        -1e-300,
        float("nan"),
        float("inf"),
    ),
    *(float("nan"), float("inf")),
    *([], {}, [[]], {"": 0}, [None] * 50, "", "a" * 300, "=1+1", "../..", "\0", "\ud800", "<script>", 0.5),
)


def _json(content: bytes, random: Random) -> bytes:
    """Change one value of a document, or one line of several."""
    lines = content.splitlines() if content.count(b"\n{") else [content]
    place = random.randrange(len(lines))
    try:
        data = json.loads(lines[place])
    except (ValueError, RecursionError):
        return _word(content, random)
    lines[place] = json.dumps(_changed(data, random, 8)).encode()
    return b"\n".join(lines) + b"\n"


def _changed(data: Any, random: Random, depth: int) -> Any:
    if depth and data and isinstance(data, dict | list) and random.random() < 0.85:
        copy = data.copy()
        key = random.choice(sorted(data)) if isinstance(data, dict) else random.randrange(len(data))
        if random.random() < 0.1:
            del copy[key]
        else:
            copy[key] = _changed(copy[key], random, depth - 1)
        return copy
    if random.random() < 0.1:
        return [data] * random.choice((2, 100))
    return random.choice(_VALUES)


def _journal(content: bytes, random: Random) -> bytes:
    """Change frames of a journal, whose hashes fit again."""
    frames = frames_in(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        if not frames:
            break
        place = random.randrange(len(frames))
        name, body = frames[place]
        match random.randrange(12):
            case 0:
                del frames[place]
            case 1:
                frames.insert(random.randrange(len(frames)), frames[place])
            case 2:
                frames = frames[: place + 1]
            case 3:
                frames[place] = random.choice(frames)[0], body
            case 4 | 5:
                frames[place] = name, _flip(body, random, ())
            case 6:
                frames[place] = name, random.choice(_CHANGES)(body, random, [body])
            case _:
                frames[place] = name, _frame(name, body, frames, random)
    return journal_of(frames)


def _frame(name: bytes, body: bytes, frames: Sequence[Frame], random: Random) -> bytes:
    """Change a frame by what is in it: JSON, a schema, or rows."""
    if body[:1] in (b"{", b"["):
        try:
            return json.dumps(
                _changed(json.loads(body), random, 8), sort_keys=True, separators=(",", ":")
            ).encode()  # as a run that goes over it again writes it
        except (ValueError, RecursionError):
            return _word(body, random)
    schemas = [each[16:] for kind, each in frames if kind.startswith(b"schema") and each[:16] == name]
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(schemas[0]))
        rows = pa.Table.from_batches(
            [batch_of(body, schema)]
        )  # which are whole: pyarrow ends the process else
        changed = random.choice(_TABLE_CHANGES)(rows, random).combine_chunks().to_batches()
        return bytes(changed[0].serialize())
    except (IndexError, ValueError, pa.ArrowException, OSError):  # of a schema that was changed before
        return _flip(_flip(body, random, ()), random, ())


def _state(content: bytes, random: Random) -> bytes:
    """Change what a file of safetensors says of itself, or what a tensor named `tree` says in JSON."""
    try:
        length = int.from_bytes(content[:8], "little")
        head, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        first, last = head["tree"]["data_offsets"]
        tree = data[first:last]
    except (ValueError, KeyError, TypeError):
        return _flip(content, random, ())
    if random.random() < 0.25:
        head = _changed(head, random, 8)
    elif random.random() < 0.2:
        data = _flip(data, random, ())
    else:
        anew = _json(tree, random).strip()
        grown = len(anew) - len(tree)
        data = data[:first] + anew + data[last:]
        for entry in head.values():
            if "data_offsets" in entry:
                entry["data_offsets"] = [at + grown * (at >= last) for at in entry["data_offsets"]]
        head["tree"] |= {"data_offsets": [first, first + len(anew)], "shape": [len(anew)]}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def _table(content: bytes, random: Random) -> bytes:
    """Change columns of a Parquet file: their values, types, names, order, and how many rows there are."""
    table = parquet.read_table(io.BytesIO(content)).slice(0, _MOST_ROWS)
    for _ in range(random.choice((1, 1, 2, 4))):
        if table.num_columns:
            table = random.choice(_TABLE_CHANGES)(table, random)
    out = io.BytesIO()
    compression = random.choice(("none", "zstd", "gzip", "snappy"))
    try:
        parquet.write_table(table, out, compression=compression, row_group_size=random.choice((None, 1, 7)))
    except (pa.ArrowException, ValueError):
        return content
    return out.getvalue()


def _dropped(table: pa.Table, random: Random) -> pa.Table:
    return table.remove_column(random.randrange(table.num_columns))


def _renamed(table: pa.Table, random: Random) -> pa.Table:
    names = list(table.column_names)
    names[random.randrange(len(names))] = random.choice((*NASTY[:20], *names)).replace("\ud800", "x")
    return table.rename_columns(names)


def _retyped(table: pa.Table, random: Random) -> pa.Table:
    place = random.randrange(table.num_columns)
    kind = random.choice(
        (pa.string(), pa.int8(), pa.uint64(), pa.float16(), pa.bool_(), pa.binary(), pa.timestamp("ns"))
    )
    try:
        column = table.column(place).cast(kind, safe=False)
    except pa.ArrowException:
        column = pa.nulls(table.num_rows, kind)
    return table.set_column(place, table.column_names[place], column)


def _revalued(table: pa.Table, random: Random) -> pa.Table:
    place = random.randrange(table.num_columns)
    field, values = table.schema.field(place), table.column(place).to_pylist()
    if not values:
        return table
    nasty: Sequence[Any] = ("", "x", "=1+1", "\0", "<b>", "a" * 10_000, None)
    if pa.types.is_integer(field.type):
        nasty = (-1, 0, 1, 2**31, 2**40, 2**53, 2**63 - 1, -(2**63), None)
    elif pa.types.is_floating(field.type):
        nasty = (-1.0, 0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), None)
    elif pa.types.is_list(field.type):
        nasty = ([], [float("nan")], [None], [1e308] * 100, None)
    values[random.randrange(len(values))] = random.choice(nasty)
    if random.random() < 0.2:
        values = [random.choice(nasty)] * len(values)
    try:
        return table.set_column(place, pa.field(field.name, field.type), [pa.array(values, field.type)])
    except (pa.ArrowException, OverflowError, TypeError):
        return table


def _rows(table: pa.Table, random: Random) -> pa.Table:
    count = table.num_rows
    match random.randrange(4):
        case 0:
            return table.slice(0, 0)
        case 1:
            return table.slice(0, random.randrange(count + 1))
        case 2:
            return pa.concat_tables([table] * 2) if count < 200 else table
        case _:
            order = sorted(range(count), key=lambda _: random.random())
            return table.take(pa.array(order, pa.int64()))


_TABLE_CHANGES = (_dropped, _renamed, _retyped, _revalued, _revalued, _revalued, _rows)
