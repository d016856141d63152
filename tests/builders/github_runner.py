"""Runs the jobs of a workflow as GitHub's runner does: its conditions, its files and its shell, but no actions."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|!|\(|\)|[\w.\-]+)")
_BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")


def load(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 takes its key `on` for a truth value."""
    return yaml.safe_load(path.read_text())


@dataclass
class Step:
    name: str
    outcome: str = "skipped"
    code: int = 0
    said: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    uploads: list[Path] = field(default_factory=list)


@dataclass
class Ran:
    """steps: in order, those without a name by what they use; outputs: of the job."""

    steps: dict[str, Step]
    summary: str
    outputs: dict[str, str]

    @property
    def succeeded(self) -> bool:
        return all(step.outcome != "failure" for step in self.steps.values())


@dataclass(frozen=True)
class Runner:
    """folder: where the repository is checked out; temp: what $RUNNER_TEMP names; environment: of every step."""

    folder: Path
    temp: Path
    environment: dict[str, str]

    def run(self, workflow: Path, job: str, *, skip: tuple[str, ...] = (), **contexts: Any) -> Ran:
        """A job with the contexts `inputs`, `github`, `vars` and `needs`; steps in `skip` count as done."""
        self.temp.mkdir(parents=True, exist_ok=True)
        written = load(workflow)
        asked = written["jobs"][job]
        known = {"runner": {"temp": str(self.temp)}, "steps": {}, **contexts}
        summary = self.temp / "step_summary"
        summary.write_text("")
        environment = {**self.environment, "CI": "true", "GITHUB_ACTIONS": "true", "RUNNER_TEMP": str(self.temp)}
        environment["GITHUB_STEP_SUMMARY"] = str(summary)
        steps: dict[str, Step] = {}
        for row in asked["steps"]:
            step = Step(row.get("name") or row["uses"].partition("@")[0])
            steps[step.name] = step
            failed = any(other.outcome == "failure" for other in steps.values())
            if not _wanted(row.get("if"), known, failed=failed):
                continue
            step.outcome = "success"
            if step.name in skip:
                continue
            if "run" in row:
                layers = (written.get("env"), asked.get("env"), row.get("env"))
                own = {name: filled(value, known) for layer in layers for name, value in (layer or {}).items()}
                self._shell(row["run"], environment | own, step, environment)
            elif "upload-artifact" in row["uses"]:
                self._upload(row["with"], known, step)
            if "id" in row:
                known["steps"][row["id"]] = {"outputs": step.outputs}
        outputs = {name: filled(value, known) for name, value in asked.get("outputs", {}).items()}
        return Ran(steps, summary.read_text(), outputs)

    def _shell(self, script: str, environment: dict[str, str], step: Step, later: dict[str, str]) -> None:
        files = {name: self.temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        path = self.temp / "step.sh"
        path.write_text(script)
        ran = subprocess.run(
            [*_BASH, str(path)],
            cwd=self.folder,
            env=environment | {name: str(file) for name, file in files.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        step.code, step.said = ran.returncode, ran.stdout
        step.outcome = "failure" if step.code else "success"
        step.outputs = _pairs(files["GITHUB_OUTPUT"])
        later |= _pairs(files["GITHUB_ENV"])
        for folder in files["GITHUB_PATH"].read_text().split("\n"):
            later["PATH"] = f"{folder}{os.pathsep}{later['PATH']}" if folder else later["PATH"]

    def _upload(self, asked: dict[str, Any], known: dict[str, Any], step: Step) -> None:
        paths = [self.folder / line for line in filled(asked["path"], known).split("\n") if line]
        step.uploads = [path for path in paths if path.exists()]
        if not step.uploads and asked.get("if-no-files-found") == "error":
            step.outcome = "failure"


def filled(text: Any, known: dict[str, Any]) -> str:
    """A value of the YAML with its expressions evaluated, as text."""
    return EXPRESSION.sub(lambda found: _text(evaluate(found[1], known)), _text(text))


def evaluate(expression: str, known: dict[str, Any], *, failed: bool = False) -> Any:
    """The value of an expression; KeyError for a context that is not there, ValueError for what is no expression."""
    tokens = []
    while expression.strip():
        if not (found := _TOKEN.match(expression)):
            raise ValueError(f"not understood: {expression}")
        tokens.append(found[1])
        expression = expression[found.end() :]
    value = _either(tokens, known, failed)
    if tokens:
        raise ValueError(f"left over: {tokens}")
    return value


def _wanted(condition: Any, known: dict[str, Any], *, failed: bool) -> bool:
    """Without a word on the outcome so far, every condition begins with `success() &&`."""
    if condition is None:
        return not failed
    inner = EXPRESSION.fullmatch(str(condition).strip())
    text = inner[1] if inner else str(condition)
    asks = re.search(r"\b(success|failure|cancelled|always)\(\)", text)
    return bool(evaluate(text, known, failed=failed)) and (bool(asks) or not failed)


def _either(tokens: list[str], known: dict[str, Any], failed: bool) -> Any:
    value = _both(tokens, known, failed)
    while tokens[:1] == ["||"]:
        tokens.pop(0)
        other = _both(tokens, known, failed)
        value = value or other
    return value


def _both(tokens: list[str], known: dict[str, Any], failed: bool) -> Any:
    value = _equal(tokens, known, failed)
    while tokens[:1] == ["&&"]:
        tokens.pop(0)
        other = _equal(tokens, known, failed)
        value = value and other
    return value


def _equal(tokens: list[str], known: dict[str, Any], failed: bool) -> Any:
    value = _one(tokens, known, failed)
    while tokens[:1] in (["=="], ["!="]):
        same = tokens.pop(0) == "=="
        value = (value == _one(tokens, known, failed)) is same
    return value


def _one(tokens: list[str], known: dict[str, Any], failed: bool) -> Any:
    token = tokens.pop(0)
    if token == "!":
        return not _one(tokens, known, failed)
    if token == "(":
        value = _either(tokens, known, failed)
        tokens.remove(")")
        return value
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if tokens[:2] == ["(", ")"]:
        del tokens[:2]
        return {"success": not failed, "failure": failed, "cancelled": False, "always": True}[token]
    value: Any = known
    first, *rest = token.split(".")
    value = known[first]
    for part in rest:
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _pairs(file: Path) -> dict[str, str]:
    """`NAME=value` lines, and values of several lines between `NAME<<END` and `END`."""
    pairs, lines = {}, file.read_text().split("\n")
    while lines:
        line = lines.pop(0)
        if "<<" in line and "=" not in line.partition("<<")[0]:
            name, _, end = line.partition("<<")
            value = lines[: lines.index(end)]
            del lines[: len(value) + 1]
            pairs[name] = "\n".join(value)
        elif line:
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"GitHub does not understand {line!r}")
            pairs[name] = value
    return pairs
