"""What every command of the command line does alike."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pipeline.arguments.parser import with_workspace
from pipeline.cli import main


@pytest.mark.parametrize("named", [(), ("recipe",), ("evidence",)])
def test_where_nothing_is_named_the_help_says_what_could_be(named, capsys):
    with pytest.raises(SystemExit):
        main([*named, "--help"])
    helped = capsys.readouterr().out
    assert main([*named]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", helped)


def test_the_program_without_arguments_shows_its_help(tmp_path):
    done = subprocess.run([sys.executable, "-m", "pipeline"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pipeline release demo  " in done.stderr


@pytest.mark.parametrize("wrong", [("--all",), ("recipe", "--all"), ("recipe", "shw"), ("evidence", "demo")])
def test_what_is_named_wrong_ends_with_2_and_without_the_help(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*wrong])
    assert ended.value.code == 2
    assert wrong[-1] in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("environment", "given", "workspace"),
    [
        (None, (), None),
        ("", (), None),
        ("/Volumes/Big", (), Path("/Volumes/Big")),
        ("/Volumes/Big", ("--workspace", "here"), Path("here")),
    ],
)
def test_the_workspace_is_said_or_set(environment, given, workspace, monkeypatch):
    if environment is not None:
        monkeypatch.setenv("PIPELINE_WORKSPACE", environment)
    parser = ArgumentParser()
    with_workspace(parser)
    assert parser.parse_args(given).workspace == workspace
