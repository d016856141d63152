"""How single values are written by a person; each `ValueError` continues the sentence "this value ..."."""

from __future__ import annotations

import math
import re
import warnings
from decimal import Decimal
from typing import TypeVar

from pipeline.errors import PipelineError
from pipeline.manifest import check_relative
from pipeline.metadata.values import is_language
from pipeline.release.layers import Layers
from pipeline.release.places import shown

_Item = TypeVar("_Item")

UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]+)", re.ASCII)
_TOKENS = re.compile(r"(\d{1,9})\s*([kKM]?)", re.ASCII)
_SHARE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*%", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_REPO = re.compile(r"[\w\-.]+/[\w\-.]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def parse_size(value: object) -> int:
    """Bytes of `32 MB`: decimal units kB, MB, GB, TB and binary KiB, MiB, GiB, TiB."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"must be a size with its unit, such as `5 GB`, not {shown(value)}")
    unit = next((known for known in UNITS if known.lower() == found[2].lower()), None)
    if unit is None:
        raise ValueError(f"has the unit '{found[2]}'; known are {', '.join(UNITS)}")
    size = Decimal(found[1]) * UNITS[unit]
    if size != int(size) or size < 1:
        raise ValueError(f"must be a whole number of bytes and at least one, not {size:f}")
    return int(size)


def format_size(size: int) -> str:
    """The shortest exact way to write a size, such that `parse_size` reads it back."""
    unit = next(unit for unit in ("TB", "GB", "MB", "kB", "B") if size % UNITS[unit] == 0)
    return f"{size // UNITS[unit]} {unit}"


def parse_share(value: object) -> float:
    """The fraction of `10 %`."""
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"must be a share with its percent sign, such as `10 %`, not {shown(value)}")
    return float(Decimal(found[1]) / 100)


def parse_tokens(value: object) -> int:
    """`128k` or `128K` as 131,072, the way context lengths are named: k is 1024 and M its square."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    found = _TOKENS.fullmatch(text.strip()) if isinstance(text, str) else None
    if not found or not int(found[1]):
        raise ValueError(f"must be a number of tokens, such as `128k` or `4096`, not {shown(value)}")
    return int(found[1]) * {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20}[found[2]]


def format_tokens(tokens: int) -> str:
    """The shortest exact way to write a number of tokens, such that `parse_tokens` reads it back."""
    unit, size = next((unit, size) for unit, size in (("M", 1 << 20), ("k", 1 << 10), ("", 1)) if tokens % size == 0)
    return f"{tokens // size}{unit}"


def parse_nats(value: object) -> float:
    """An amount of KL divergence; nats are the only unit, so none is written."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"must be a number of nats, such as `0.05`, not {shown(value)}")
    return float(value)


def parse_layers(value: object) -> Layers:
    match value:
        case str():
            return Layers.parse(value)
        case int() if not isinstance(value, bool):
            return Layers.parse(str(value))
    raise ValueError(f"must be layers and ranges such as `1-11,15,50-60`, not {shown(value)}")


def check_name(value: str) -> str:
    """A name that is safe as a file name, a folder name and a git tag."""
    if not _NAME.fullmatch(value) or ".." in value or value.endswith((".", ".lock")):
        raise ValueError(f"must be a plain name of letters, digits, '.', '_' and '-', not {shown(value)}")
    return value


def check_tag(value: str) -> str:
    if check_name(value) in {"main", "HEAD"} or _COMMIT.fullmatch(value):
        raise ValueError(f"must be a tag such as `v1`; {shown(value)} names something else on the Hub")
    return value


def check_repo(value: str) -> str:
    """The Hub's rules for a repository id, with the owner."""
    owner, _, name = value.partition("/")
    if not name:
        raise ValueError(f"must name the owner too: OWNER/NAME, not {shown(value)}")
    if not _REPO.fullmatch(value):
        raise ValueError(f"must be OWNER/NAME in letters, digits, '-', '_' and '.', not {shown(value)}")
    if any(part[0] in "-." or part[-1] in "-." or len(part) > 96 for part in (owner, name)):
        raise ValueError(
            f"must be OWNER/NAME, each at most 96 characters and without '-' or '.' at either end, not {shown(value)}"
        )
    if "--" in value or ".." in value or value.endswith(".git"):
        raise ValueError(f"must hold neither '--' nor '..' nor end in '.git': {shown(value)}")
    return value


def check_commit(value: str, address: str) -> str:
    """40 hexadecimal digits; `address` is where git finds the repository, for the message."""
    if _COMMIT.fullmatch(value):
        return value
    if _COMMIT.fullmatch(value.lower()):
        raise ValueError(f"must be in lower case: {value.lower()}")
    if re.fullmatch(r"[0-9a-fA-F]{7,}", value):
        raise ValueError(f"must be a whole commit, 40 hexadecimal digits; {shown(value)} has {len(value)}")
    raise ValueError(
        f"must be a commit of 40 hexadecimal digits, not the branch or tag {shown(value)}: that can move, and the same "
        f"release would then be another model; `git ls-remote {address} {shown(value)[1:-1]}` prints its commit"
    )


def check_file(value: str) -> str:
    try:
        return check_relative(value)
    except PipelineError:
        raise ValueError(f"must be the path of a file inside the repository, not {shown(value)}") from None


def check_pattern(value: str) -> str:
    """A regular expression of Python's `re`; one that Python merely warns about is refused too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(value)
    except (re.error, OverflowError, RecursionError, FutureWarning, DeprecationWarning) as error:
        raise ValueError(f"is not a regular expression that Python understands: {error}") from None
    return value


def check_not_empty(value: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Pydantic's own `min_length` complains of a list that is not empty, too, when its items are wrong."""
    if not value:
        raise ValueError("must not be empty")
    return value


def check_line(value: str) -> str:
    if "\n" in value:
        raise ValueError("must be a single line")
    return value


def check_license(value: str) -> str:
    if not _LICENSE.fullmatch(value):
        raise ValueError(
            f"must be the Hub's identifier of a license, such as `apache-2.0` or `mit`, not {shown(value)}"
        )
    return value


def check_language(value: str) -> str:
    if not is_language(value):
        raise ValueError(
            f"must be the code of a language by ISO 639 that the Hub knows, such as `en`, not {shown(value)}"
        )
    return value
