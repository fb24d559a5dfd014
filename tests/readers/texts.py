"""Texts that are summed: JSON without white space, export_json, CRC-32C, and sums that know no order."""

import base64
import hashlib
import json
import math
import struct
from decimal import Decimal


class Difference(Exception):
    """What the archive holds is not what it should be."""


class Literal(str):
    """A number of JSON as it is spelled."""


def read_json(text):
    """JSON whose fractions keep their spelling."""
    return json.loads(text, parse_float=Literal)


def quoted(text):
    """A JSON string: escaped is only what must be, in the short forms where there is one."""
    return json.dumps(text, ensure_ascii=False)


def compact(node):
    """JSON without white space, fields in their order."""
    match node:
        case Literal():
            return str(node)
        case str():
            return quoted(node)
        case list():
            return "[" + ",".join(map(compact, node)) + "]"
        case dict():
            return "{" + ",".join(f"{quoted(name)}:{compact(field)}" for name, field in node.items()) + "}"
    return json.dumps(node)


def export_json(node):
    """The canonical text of a value in the form that `tests/tools/expected.rs` describes."""
    match node:
        case None | bool():
            return json.dumps(node)
        case str():
            return quoted(node)
        case {"int": digits}:
            return digits
        case {"float": bits}:
            return number(struct.unpack(">d", bytes.fromhex(bits))[0], bits)
        case {"bytes": digits}:
            return wrapped("$bytes", bytes.fromhex(digits))
        case {"array": items}:
            return "[" + ",".join(map(export_json, items)) + "]"
        case {"object": fields}:
            return "{" + ",".join(f"{quoted(name)}:{export_json(fields[name])}" for name in sorted(fields)) + "}"
    raise Difference(f"no value: {node!r}")


def wrapped(name, content):
    return f'{{"{name}":"{base64.b64encode(content).decode()}"}}'


def number(held, bits):
    """The shortest decimal that reads back, always with a point or an exponent."""
    if not math.isfinite(held):
        return wrapped("$float", bytes.fromhex(bits)[::-1])
    sign, digits, exponent = Decimal(repr(held)).as_tuple()
    digits = "".join(map(str, digits)).rstrip("0")
    exponent += len(Decimal(repr(held)).as_tuple().digits) - len(digits)
    minus = "-" if sign else ""
    if not digits:
        return f"{minus}0.0"
    # Digits before the point.
    point = len(digits) + exponent
    if exponent >= 0 and point <= 16:
        return f"{minus}{digits}{'0' * exponent}.0"
    if 0 < point <= 16:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if -5 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{rest}e{point - 1}"


class Sum:
    """How many texts, and the sum of their SHA-256 modulo 2^256."""

    def __init__(self, count=0, total=0):
        self.count, self.total = count, total

    @classmethod
    def said(cls, told):
        return cls(told["count"], int(told["sum"], 16))

    def add(self, text):
        self.count += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(text).digest())) % 2**256

    def __add__(self, other):
        return Sum(self.count + other.count, (self.total + other.total) % 2**256)

    def __eq__(self, other):
        return (self.count, self.total) == (other.count, other.total)

    def __repr__(self):
        return f"{self.count} texts, {self.total:064x}"


def sum_of(texts):
    found = Sum()
    for text in texts:
        found.add(text)
    return found


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def steps():
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        yield crc


STEPS = list(steps())


def crc32c(content):
    """CRC-32C: Castagnoli, reflected, as in iSCSI."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = STEPS[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283
assert [number(n, "") for n in (1e15, 1e16, 1.5e-5, 1.5e-6, -0.0, 5e-324)] == ["1000000000000000.0", "1e16", "0.000015", "1.5e-6", "-0.0", "5e-324"]
