"""Whether two measurements may be compared, or share a column: numbers of two harnesses or two texts may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.evidence import Measurement
    from pipeline.manifest import Json

_SHOWN = 3
# Which model it was, where a figure was found, and a command line that says again what other settings say.
_NO_SETTINGS = frozenset({"command", "model", "reported"})
# How fast a model answers depends on the machine and on what computes there; what it answers does not.
_TOOLS = ("mlx", "mlx-lm")


def why_not(one: Measurement, other: Measurement) -> str:
    """In words why the figures of the two say nothing about each other; empty when they were taken alike."""
    if one.measure != other.measure:
        return f"{one.measure} is not {other.measure}"
    if "reported" in {one.source, other.source} and not (_settings(one) and _settings(other)):
        return "how a reported figure was taken is not known"
    return _differences(_how(one), _how(other))


def on_other_tokens(one: Measurement, other: Measurement) -> str:
    """Like `why_not` for two measures that read the same tokens, such as perplexity and divergence."""
    return _differences({**_how(one), "baseline": None}, {**_how(other), "baseline": None})


def _settings(measurement: Measurement) -> dict[str, Json]:
    return {key: value for key, value in measurement.settings.items() if key not in _NO_SETTINGS}


def _how(measurement: Measurement) -> dict[str, Json]:
    """Everything that must be alike."""
    how: dict[str, Json] = {
        **_settings(measurement),
        "harness": measurement.harness,
        "tokens": measurement.values.get("tokens"),
    }
    if measurement.measure == "speed":
        how["machine"] = {key: value for key, value in measurement.machine.items() if key != "os"}
        how["tools"] = {key: measurement.tools.get(key) for key in _TOOLS}
    return how


def _differences(ours: Mapping[str, Json], theirs: Mapping[str, Json]) -> str:
    keys = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    words = [_difference(key, ours.get(key), theirs.get(key)) for key in keys]
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _difference(key: str, ours: Json, theirs: Json) -> str:
    """The first difference inside of two tables says enough: one text is not another."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        inner = min(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        return _difference(f"{key}.{inner}", ours.get(inner), theirs.get(inner))
    return f"{key} {_word(ours)} against {_word(theirs)}"


def _word(value: Json) -> str:
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."
