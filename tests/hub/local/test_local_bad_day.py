"""A file of faults is read as strictly as a release file, and docs/local-hub.md describes every key of it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx2
import pytest

from pipeline.errors import ReleaseFileError
from pipeline.hub.local.bad_day import BadDay, WrittenFault, load_faults
from pipeline.hub.local.faults import Fault

PAGE = Path(__file__).parents[3] / "docs" / "local-hub.md"


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text):
        (tmp_path / "bad-day.yaml").write_text(text)
        return load_faults("bad-day.yaml")

    return load


def test_a_rule_means_what_it_says(load):
    faults = load(
        "seed: 4\n"
        "faults:\n"
        "  - {fault: status, path: '*/commit/*', nth: 1, status: 429, headers: ['Retry-After: 2'], message: wait}\n"
        "  - {fault: drop, method: GET, when: after, nth: [1, 3], most: 1, chance: 50 %}\n"
        "  - {fault: slow, rate: 3 kB}\n"
    )
    assert [counted.fault for counted in faults._rules] == [
        Fault("status", "*/commit/*", nth=(1,), status=429, headers={"Retry-After": "2"}, message="wait"),
        Fault("drop", method="GET", when="after", nth=(1, 3), most=1, chance=0.5),
        Fault("slow", rate=3000),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "bad-day.yaml:1:1: is empty"),
        ("faults: []", "bad-day.yaml:1:9: faults: must not be empty"),
        ("faults:\n  - fault: dorp", r"bad-day.yaml:2:12: faults\[0\].fault: must be .* did you mean `drop`\?"),
        (
            "faults:\n  - fault: drop\n    seconds: 2",
            r"bad-day.yaml:2:5: faults\[0\]: `seconds` says nothing about `drop`",
        ),
        ("faults:\n  - fault: drop\n    nht: 2", r"bad-day.yaml:3:5: faults\[0\].nht: unknown key; did you mean `nth`"),
        ("faults:\n  - fault: drop\n    nth: 0", r":3:5: faults\[0\].nth\[0\]: must be at least 1, not 0"),
        ("faults:\n  - fault: drop\n    chance: 0.2", r":3:13: faults\[0\].chance: must be a share"),
        (
            "faults:\n  - fault: drop\n    chance: 120 %",
            r":3:13: faults\[0\].chance: must be more than 0 % and at most",
        ),
        ("faults:\n  - fault: drop\n    method: post", r":3:13: faults\[0\].method: must be a method in capitals"),
        ("faults:\n  - fault: status\n    headers: [x]", r":3:15: faults\[0\].headers\[0\]: must be a header such as"),
        ("faults:\n  - fault: status\n    status: 200", r":3:13: faults\[0\].status: must be at least 400"),
    ],
)
def test_a_mistake_is_shown_where_it_is(load, text, problem):
    with pytest.raises(ReleaseFileError) as caught:
        load(text)
    assert len(caught.value.problems) == 1
    assert re.search(problem, str(caught.value)), str(caught.value)
    assert "docs/local-hub.md" in caught.value.hint


def rows(heading):
    """The rows of the table below a heading of the page: its first cell and what the last one says."""
    section = PAGE.read_text().partition(f"### {heading}\n")[2].partition("\n#")[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return {row[0].strip("`"): row[-1] for row in cells}


@pytest.mark.parametrize(("heading", "model"), [("A bad day", BadDay), ("A rule", WrittenFault)])
def test_the_page_describes_every_key(heading, model):
    assert rows(heading) == {key: field.description for key, field in model.model_fields.items()}


def test_the_page_says_what_every_kind_does():
    assert list(rows("Kinds")) == list(WrittenFault.model_fields["fault"].annotation.__args__)


def test_the_pages_example_is_a_bad_day(load):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    kinds = [counted.fault.kind for counted in load(example)._rules]
    assert {"drop", "slow", "corrupted"} <= set(kinds)


def test_the_command_rehearses_it_and_tells_what_fired(repository):
    (repository.root / "bad-day.yaml").write_text("faults:\n  - {fault: status, path: '*/whoami-v2', status: 503}\n")
    with repository.start("hub", "--port", "0", "--faults", "bad-day.yaml") as process:
        said = ""
        while "HF_ENDPOINT=" not in said:
            said += process.stdout.readline()
        endpoint = re.search(r"HF_ENDPOINT=(\S+)", said)[1]
        assert httpx2.get(f"{endpoint}/api/whoami-v2").status_code == 503
        os.kill(process.pid, signal.SIGTERM)
        said += process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    assert "rule 1: status for GET /api/whoami-v2" in said
    assert "faults that fired: 1 status" in said


def test_the_command_shows_what_is_wrong_with_the_file(repository):
    (repository.root / "bad-day.yaml").write_text("faults:\n  - {fault: boom}\n")
    code, said = repository.run("hub", "--faults", "bad-day.yaml")
    assert code == 2
    assert "bad-day.yaml:2:13: faults[0].fault: must be" in said
    code, said = repository.run("hub", "--faults", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml: cannot be read: No such file or directory" in said
