"""`pipeline plan` of a model that is far too large for this machine, as on a clean clone without network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from pipeline.cli import main

# In a process of its own, since memory that other tests have taken would count. Linux's ru_maxrss would count it all
# the same: it begins with what the parent held when it forked.
PROGRAM = """
import re, resource, sys
from pathlib import Path
from pipeline.cli import main
code = main(sys.argv[1:])
status = Path("/proc/self/status")
if status.exists():
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(code, peak, file=sys.stderr)
"""
OFFLINE = {"HF_ENDPOINT": "http://127.0.0.1:9"}


def planned(repository, *arguments):
    """Exit code, peak memory in bytes, and what was said on both streams."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "plan", *arguments],
        cwd=repository.root,
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *said, last = done.stderr.splitlines()
    code, peak = map(int, last.split())
    return code, peak, done.stdout, "\n".join(said)


def test_a_trillion_parameters_are_planned_offline_in_little_memory(repository):
    code, peak, out, said = planned(repository, "v2.5", "--json")
    assert (code, said) == (0, "")
    table = json.loads(out)
    assert (table["parameters"], table["bytes"], table["fits"]) == (1_026_408_232_448, 350_252_158_976, True)
    assert peak < 600_000_000


def test_a_plan_that_does_not_fit_is_shown_and_refused(repository):
    repository.edit("v2.5", "size: 351 GB", "size: 350 GB")
    code, _, out, said = planned(repository, "v2.5", "--json", "--context", "64k")
    assert code == 2
    table = json.loads(out)
    assert table["fits"] is False
    assert [row["context"] for row in table["memory"]] == [65536, 131072]
    assert "its weights are 350.25 GB, 0.25 GB over `size: 350 GB`" in said
    assert "hint: Most bytes are in switch_mlp.gate_proj at 2 bit g64" in said
    code, out = repository.run("release", "v2.5", "--dry-run")
    assert code == 2
    assert "does not fit what releases/v2.5/release.yaml asks for" in out


def test_a_release_that_cannot_be_held_against_another_is_refused_before_anything_is_done(repository):
    repository.edit("demo", "perplexity_increase: 10 %", "perplexity_increase: 10 %\n  against: demo-refused")
    told = "perplexity cannot be held against demo-refused, as releases/demo/release.yaml asks"
    for command in (("plan",), ("release", "--dry-run"), ("release",)):
        code, out = repository.run(*command, "demo")
        assert (code, told in out, "Traceback" in out) == (2, True, False), out
    assert not list(repository.workspace.glob("releases/demo/*/*")), "nothing was fetched and nothing was made"
    code, out = repository.run("release", "demo", "--dry-run", "--until", "quantize")
    assert (code, told in out) == (0, False), out


def test_a_context_that_is_none_is_refused(repository):
    code, _, out, said = planned(repository, "demo", "--context", "long")
    assert (code, out) == (2, "")
    assert "--context must be a number of tokens, such as `128k`" in said


def test_a_plan_for_people_shows_tasks_tensors_rules_and_memory(repository):
    code, out = repository.run("plan", "demo")
    assert code == 0
    for part in (
        "tasks would run",
        "134,515,008",
        "mixed-5-6-8.yaml",
        r"self_attn\.[qkvo]_proj$",
        "on a Mac with 8 GB or more",
        "--disk-window",
    ):
        assert part in out, part


def test_a_plan_says_where_the_release_overrides_the_card_of_its_base(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository.root)
    repository.edit("demo", "recipe: mixed-5-6-8\n", "license: mit\nrecipe: mixed-5-6-8\n")
    assert main(["plan", "demo"]) == 0
    told = capsys.readouterr().err
    assert "releases/demo/release.yaml overrides the card of demo/SmolLM2-135M-Instruct: `license: mit`, where" in told
    assert told.count("overrides") == 1


def test_a_plan_of_a_release_whose_license_nobody_states_ends_with_one_error(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository.root)
    description = repository.root / "releases" / "demo" / "base.json"
    description.write_text(re.sub(r'^ "card": .*\n', "", description.read_text(), flags=re.MULTILINE))
    assert main(["plan", "demo"]) == 2
    told = capsys.readouterr().err
    assert "error: nobody states the license of demo: releases/demo/release.yaml has no `license`" in told
    assert "Say it in releases/demo/release.yaml, such as `license: apache-2.0`" in told
