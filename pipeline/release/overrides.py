"""Reads the `PATTERN=VALUE` overrides that mlx-lm's pull request 922 gives to `mlx_lm.convert`, as a recipe.

https://github.com/ml-explore/mlx-lm/pull/922: patterns are searched in module paths, and the first one
found decides. A module that none is found in gets the command's own bits, group size and mode.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import ReleaseFileError
from pipeline.release.draft import Draft, DraftRule
from pipeline.release.layers import Layers
from pipeline.release.places import Place, Problem, did_you_mean, shown
from pipeline.release.recipe import FORMATS, Precision, Unquantized
from pipeline.release.written import check_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.release.recipe import Decision, Dtype, Mode

DTYPES: Mapping[str, Dtype] = {
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "f16": "float16",
    "fp16": "float16",
    "float32": "float32",
    "f32": "float32",
    "fp32": "float32",
}
_MODES: tuple[Mode, ...] = ("mxfp4", "nvfp4", "mxfp8")
_OVERRIDES = {"--q-override", "--override", "--tensor-type"}
_SETTINGS = {"--q-bits", "--q-group-size", "--q-mode"}
_IDLE_FLAGS = {"-q", "--quantize", "--trust-remote-code"}
_IDLE = {"--hf-path", "--model", "--mlx-path", "--upload-repo", "--revision"}
_OPTION = re.compile(r"\s*--?[a-z]|.*(^|\s)(\S*mlx_lm\S*|llama-quantize)(\s|$)")
_LAYERS = re.compile(
    r"(?P<before>[\w\\.^]*)layers\\\.\((?:\?:)?(?P<numbers>\d+(?:\|\d+)*)\)\\\.(?P<after>(?:[^|()]|\([^()]*\))*)"
)
HINT = "A line is PATTERN=VALUE; docs/release-files.md says what VALUE can be. Nothing was written."


@dataclass(frozen=True)
class Pair:
    """`PATTERN=VALUE` and where it is written."""

    pattern: str
    value: str
    place: Place

    def __str__(self) -> str:
        return f"{self.pattern}={self.value}"


@dataclass
class Listed:
    """What a file says. settings: the options of `mlx_lm.convert` that decide about all other modules."""

    pairs: list[Pair] = field(default_factory=list)
    settings: dict[str, tuple[str, Place]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_list(text: str, file: str) -> Listed:
    """Pairs one a line, or as they stand on a command line with its quotes; lines that begin with `#` are comments."""
    listed = Listed()
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    as_command = any(_OPTION.match(line) for line in lines)
    words = _shell_words(lines, file, listed) if as_command else _plain_lines(lines, file)
    for word, place in words:
        _take(word, place, words, listed)
    return listed


def import_overrides(text: str, file: str, otherwise: Decision | None = None) -> Draft:
    """The overrides in `text` as a recipe; `ReleaseFileError` names every line that cannot be one.

    otherwise: for modules that no pattern is found in, instead of what the command would give them.
    """
    listed = read_list(text, file)
    usual = _usual(listed)
    whole = usual.group_size if usual.mode == "affine" else FORMATS["affine"].group_sizes[0]
    first: dict[str, Pair] = {}
    rules: list[DraftRule] = []
    remarks = [f"Imported from {file}: overrides of mlx_lm.convert (mlx-lm pull request 922)."]
    for pair in listed.pairs:
        checked = check_pair(pair, listed.problems, lambda value: parse_value(value, whole))
        if checked is None:
            continue
        if earlier := first.get(pair.pattern):
            remarks.append(f"Line {pair.place.line}, {pair}, is left out: line {earlier.place.line} comes first.")
            continue
        first[pair.pattern] = pair
        match, layers = _apart(pair.pattern)
        rules.append(DraftRule(match, layers, checked, f"Asked for by {pair} on line {pair.place.line} of {file}."))
    refuse(listed, file)
    remarks.append(
        "Unlike there, an architecture's own wish (some keep their routers at 8 bits) holds where no rule names the "
        "module: add a rule if it shall not."
    )
    why = "Asked for where this was imported." if otherwise else "What mlx_lm.convert gives to all other modules."
    return Draft(f"The overrides of {file}.", tuple(rules), otherwise or usual, why, tuple(remarks))


def check_pair(pair: Pair, problems: list[Problem], parse: Callable[[str], Decision]) -> Decision | None:
    """What a pair's value means; None when it, or the pattern, is wrong, which is then added to `problems`."""
    found: Decision | None = None
    try:
        check_pattern(pair.pattern)
        if not pair.pattern or not pair.pattern.isprintable():
            problems.append(Problem(pair.place, "has no pattern that a recipe can hold before its `=`"))
            return None
    except ValueError as error:
        problems.append(Problem(pair.place, f"the pattern {shown(pair.pattern)} {error}"))
        return None
    try:
        found = parse(pair.value)
    except ValueError as error:
        problems.append(Problem(pair.place, f"the value {error}"))
    return found


def refuse(listed: Listed, file: str) -> None:
    """End here when anything is wrong with the file, or nothing in it."""
    if not listed.pairs and not listed.problems:
        listed.problems.append(Problem(Place(file), "holds no PATTERN=VALUE"))
    if listed.problems:
        raise ReleaseFileError(tuple(str(problem) for problem in sorted(listed.problems)), hint=HINT)


def parse_value(value: str, group_size: int = FORMATS["affine"].group_sizes[0]) -> Decision:
    """`8`, `4,32`, `mxfp4` or `bfloat16`; `group_size` holds where bits stand alone.

    Raises: ValueError, which continues the sentence "the value ...".
    """
    value = value.strip()
    for mode in _MODES:
        if value == mode:
            return _precision(mode)
    if value in DTYPES:
        return Unquantized(DTYPES[value])
    bits, comma, group = (part.strip() for part in value.partition(","))
    if not bits.isdecimal() or (comma and not group.isdecimal()):
        raise ValueError(
            f"must be bits such as `8`, bits and group size such as `4,32`, a mode ({', '.join(_MODES)}) or a dtype "
            f"(bfloat16, float16, float32), not {shown(value)}{did_you_mean(value, [*_MODES, *DTYPES])}"
        )
    return _precision("affine", int(bits), int(group) if comma else group_size)


def _precision(mode: Mode, bits: int | None = None, group_size: int | None = None) -> Precision:
    known = FORMATS[mode]
    for name, given, allowed in (("bits", bits, known.bits), ("group size", group_size, known.group_sizes)):
        if given is not None and given not in allowed:
            raise ValueError(f"has {name} {given}; mode {mode} has {', '.join(map(str, sorted(allowed)))}")
    return Precision(bits or known.bits[0], group_size or known.group_sizes[0], mode)


def _usual(listed: Listed) -> Precision:
    """What `mlx_lm.convert` gives by its options; 4 bits in groups of 64 without any."""
    settings = {option: value for option, (value, _) in listed.settings.items()}
    numbers: dict[str, int | None] = {}
    for option in ("--q-bits", "--q-group-size"):
        value = settings.get(option)
        numbers[option] = int(value) if value and value.isdecimal() else None
        if value is not None and numbers[option] is None:
            listed.problems.append(Problem(listed.settings[option][1], f"{option} must be a number, not {value}"))
    mode = settings.get("--q-mode", "affine")
    bits = numbers["--q-bits"] or (4 if mode == "affine" else None)
    for name in FORMATS:
        if name == mode:
            try:
                return _precision(name, bits, numbers["--q-group-size"])
            except ValueError as error:
                place = listed.settings[min(listed.settings)][1]
                listed.problems.append(Problem(place, f"what all other modules get {error}"))
                return _precision(name, 4 if name == "affine" else None)
    what = f"--q-mode must be {', '.join(FORMATS)}, not {shown(mode)}{did_you_mean(mode, FORMATS)}"
    listed.problems.append(Problem(listed.settings["--q-mode"][1], what))
    return _precision("affine", 4)


def _apart(pattern: str) -> tuple[str, Layers | None]:
    r"""The layers that a pattern lists as a rule's own: `layers\.(0|1|2)\.mlp` is `layers\.\d+\.mlp` in layers 0-2."""
    found = _LAYERS.fullmatch(pattern)
    numbers = found["numbers"].split("|") if found else []
    if not found or re.search(r"\\\d", found["after"]) or any(number != str(int(number)) for number in numbers):
        return pattern, None
    return rf"{found['before']}layers\.\d+\.{found['after']}", Layers.of(map(int, numbers))


def _plain_lines(lines: Sequence[str], file: str) -> Iterator[tuple[str, Place]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield line.strip(), Place(file, number, len(line) - len(line.lstrip()) + 1, source=line)


def _shell_words(lines: Sequence[str], file: str, listed: Listed) -> Iterator[tuple[str, Place]]:
    """The words of a command, which may run over several lines; what names the program is left out."""
    # A blank before each end of line, so that no word ends with the line that is counted next.
    joined = "".join(f"{line[:-1] if line.endswith(chr(92)) else line} \n" for line in lines)
    lexer = shlex.shlex(joined, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[tuple[str, Place]] = []
    try:
        while (word := lexer.get_token()) is not None:
            source = lines[min(lexer.lineno, len(lines)) - 1]
            words.append((word, Place(file, lexer.lineno, len(source) - len(source.lstrip()) + 1, source=source)))
    except ValueError:
        listed.problems.append(Problem(Place(file, 1, 1), "the quotes of this command line are never closed"))
    program = [index for index, (word, _) in enumerate(words) if re.search(r"(^|[./])(convert|llama-quantize)$", word)]
    yield from words[program[0] + 1 if program else 0 :]


def _take(word: str, place: Place, words: Iterator[tuple[str, Place]], listed: Listed) -> None:
    """One word, and the next where an option has its value there."""
    option, equals, value = word.partition("=")
    if word in _IDLE_FLAGS:
        return
    if option in _OVERRIDES | _SETTINGS | _IDLE:
        if not equals:
            value = next(words, ("", place))[0]
        if option in _SETTINGS:
            listed.settings[option] = (value, place)
        elif option in _OVERRIDES:
            _add_pair(value, place, listed)
    elif word.startswith("-"):
        listed.problems.append(Problem(place, f"the option {shown(option)} has no counterpart in a recipe"))
    else:
        _add_pair(word, place, listed)


def _add_pair(word: str, place: Place, listed: Listed) -> None:
    # A value holds no `=`, but a pattern may: `(?=x)`.
    pattern, equals, value = word.rpartition("=")
    if equals:
        listed.pairs.append(Pair(pattern, value, place))
    else:
        listed.problems.append(Problem(place, f"must be PATTERN=VALUE, not {shown(word)}"))
