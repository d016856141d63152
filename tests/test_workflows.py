"""The workflows of GitHub: linted, and run step by step from their own YAML, in clones of this repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from github_runner import EXPRESSION, Runner, filled, load

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
RELEASE, CARD = (ROOT / f".github/workflows/{name}.yml" for name in ("release", "card"))
TYPED = {"release": "demo", "dry_run": True, "until": "upload"}
INSTALL = "Install pipeline"
DEMO = "releases/demo"
TOOLS = Path(sys.executable).parent


def environment(home, *folders):
    """What a step is given besides what the workflow says; nothing of the person who runs the tests."""
    home.mkdir(exist_ok=True)
    path = os.pathsep.join([*map(str, folders), str(TOOLS), "/usr/bin", "/bin"])
    git = {key: value for key, value in os.environ.items() if key.startswith("GIT_CONFIG")}
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **git}


JOBS = [
    pytest.param(job, id=f"{workflow.stem}-{name}")
    for workflow in WORKFLOWS
    for name, job in load(workflow)["jobs"].items()
]


def test_workflows_are_ones_that_github_understands():
    """Their keys, their expressions and their contexts."""
    ran = subprocess.run([TOOLS / "actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stdout + ran.stderr


def test_workflows_give_nothing_away():
    """Actions pinned to commits, no credentials left behind, no expression in a shell, least permissions, and so on."""
    ran = subprocess.run(
        [TOOLS / "zizmor", "--offline", "--no-progress", "--persona", "pedantic", str(ROOT / ".github")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_asks_for_its_rights_and_writes_no_expression_into_a_shell(job):
    assert job["timeout-minutes"] <= 7200
    assert "permissions" in job
    for step in job["steps"]:
        assert not EXPRESSION.search(step.get("run", "")), step["name"]
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_right_that_a_job_does_not_ask_for(workflow):
    written = load(workflow)
    assert written["permissions"] == {}
    assert "pull_request_target" not in workflow.read_text()
    pinned = re.findall(r"uses: (.*)", workflow.read_text())
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in pinned), pinned


def test_ci_is_what_anybody_runs():
    assert [step["run"] for step in load(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["steps"][2:]] == [".ci/run"]
    told = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert told in (ROOT / "README.md").read_text()
    for part in told.split(" && "):
        assert part.rpartition(" -e ")[2] in (ROOT / ".ci/run").read_text()


def git(folder, *arguments):
    who = {f"GIT_{role}_{what}": "nobody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ran = subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | who, stdout=subprocess.PIPE, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """This repository as it is checked out on a runner, with the small releases alone, and `pipeline` installed in it
    by the workflow's own step; dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("runner") / "clone"
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file() and not re.match(r"tests/|releases/(v|gguf|lossless)", name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    installs = {json.dumps(step) for job in JOBS for step in job.values[0]["steps"] if step.get("name") == INSTALL}
    assert len(installs) == 1, "the same everywhere, so that it is enough to run one"
    temp = folder.parent / "temp"
    own = environment(folder.parent / "home") | {"PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    own |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    others = tuple(
        step.get("name") or step["uses"].partition("@")[0] for step in load(RELEASE)["jobs"]["preview"]["steps"]
    )
    ran = Runner(folder, temp, own).run(RELEASE, "preview", skip=tuple(set(others) - {INSTALL}), inputs=TYPED)
    assert ran.succeeded, ran.steps[INSTALL].said
    (installed,) = (folder / ".venv/lib").glob("python*/site-packages/pipeline")
    for source, target in (("pipeline", installed), ("templates", installed / "templates")):
        files = {path.relative_to(folder / source) for path in (folder / source).rglob("*.*") if path.is_file()}
        missing = {str(path) for path in files if not (target / path).exists()}
        assert not missing, "what is not in a package of pyproject.toml is not installed"
    return folder


@pytest.fixture
def bare(tmp_path):
    """A runner that nothing is checked out on, with something in its home that nobody may touch."""
    (tmp_path / "checkout").mkdir()
    own = environment(tmp_path / "home", tmp_path / "fakes")
    (tmp_path / "home/precious").write_text("")
    return Runner(tmp_path / "checkout", tmp_path / "temp", own)


@pytest.fixture
def runner(clone, tmp_path):
    """A checkout of the clone, and the `pipeline` that was installed there."""
    folder = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", str(clone), str(folder))
    return _runner(clone, folder, tmp_path)


def _runner(clone, folder, tmp_path):
    own = environment(tmp_path / "home", tmp_path / "fakes", clone / ".venv/bin")
    return Runner(folder, tmp_path / "temp", own | {"PYTHONPATH": sysconfig.get_path("purelib")})


@pytest.fixture
def fake_gh(tmp_path):
    """A `gh` that writes down how it is called and answers what the test says."""

    def answers(text):
        (tmp_path / "fakes").mkdir()
        (tmp_path / "answer").write_text(text)
        script = tmp_path / "fakes/gh"
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$*" in *--jq*) cat {tmp_path}/answer;; esac\n'
        )
        script.chmod(0o755)

    return answers


def asked(tmp_path):
    file = tmp_path / "asked"
    return file.read_text().splitlines() if file.exists() else []


HOSTILE = ("demo; rm -rf ~", "../x", "--help", "demo\n::set-env name=A::b", "$(touch pwned)", "", "a" * 200, ".hidden")


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_is_no_name_is_refused_before_anything_else(bare, tmp_path, typed):
    ran = bare.run(RELEASE, "check", inputs={**TYPED, "release": typed}, github={}, vars={})
    step = ran.steps["Check what was typed"]
    assert (step.outcome, step.code) == ("failure", 2)
    assert (
        step.said
        == "::error::release must be a NAME of releases/NAME/release.yaml: letters, digits, '.', '_' and '-'\n"
    )
    assert (tmp_path / "home/precious").exists()
    assert not list(bare.folder.iterdir())
    assert {one.outcome for name, one in ran.steps.items() if one is not step} == {"skipped"}


def test_nothing_runs_without_that_check():
    needs = {name: job.get("needs") for name, job in load(RELEASE)["jobs"].items()}
    assert needs == {"check": None, "preview": "check", "rehearsal": "check", "build": "check"} | {
        "publish": "build",
        "record": ["build", "publish"],
    }


def test_a_stage_that_is_none_is_refused(bare):
    ran = bare.run(RELEASE, "check", inputs={**TYPED, "until": "upload; id"}, github={}, vars={})
    assert "until must be download" in ran.steps["Check what was typed"].said


def test_a_dry_run_is_checked_without_asking_anybody(bare, tmp_path, fake_gh):
    fake_gh("")
    ran = bare.run(RELEASE, "check", inputs=TYPED, github={"repository": "me/mine"}, vars={})
    assert [step.outcome for step in ran.steps.values()] == ["success", "skipped", "skipped"]
    assert asked(tmp_path) == []


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (("wait_timer required_reviewers", "/Volumes/Big"), ""),
        (("wait_timer", "/Volumes/Big"), "no required reviewers"),
        (("", "/Volumes/Big"), "no required reviewers"),
        (("required_reviewers", ""), "outside of the checkout"),
        (("required_reviewers", "here"), "outside of the checkout"),
    ],
)
def test_a_release_is_not_begun_that_nobody_would_review_or_that_has_no_place(bare, tmp_path, fake_gh, setup, said):
    rules, workspace = setup
    fake_gh(rules)
    ran = bare.run(
        RELEASE,
        "check",
        inputs={**TYPED, "dry_run": False},
        github={"repository": "me/mine", "token": "secret"},
        vars={"PIPELINE_WORKSPACE": workspace},
    )
    assert ran.succeeded is not bool(said)
    assert said in "".join(step.said for step in ran.steps.values())
    assert all("repos/me/mine/environments/huggingface" in line for line in asked(tmp_path))


def test_a_dry_run_shows_the_plan_the_sizes_and_the_card(runner):
    evidence = runner.folder / DEMO / "evidence.json"
    evidence.write_text(re.sub(r'("kl_mean": 0\.0)(\d)', r"\g<1>9", evidence.read_text(), count=1))
    ran = runner.run(RELEASE, "preview", skip=(INSTALL,), inputs=TYPED)
    assert ran.succeeded, [step.said for step in ran.steps.values()]
    head, _, rest = ran.summary.partition("\n\n")
    assert head == "## Dry run of demo"
    assert re.search(r"\*\*\d+ MB at \d\.\d\d bits per weight\*\*", rest)
    assert re.search(r"^\| `embed_tokens` +\| 28,311,552 \| 8 bit g64", rest, re.MULTILINE)
    assert re.search(r"^\| mixed-5-6-8\.yaml:\d+ ", rest, re.MULTILINE)
    assert "<summary>What would run, and why</summary>\n\n    seed " in rest
    assert re.search(r"^\| (\*\*)?worse(\*\*)? +\| KL", rest, re.MULTILINE)
    digest = subprocess.run(
        ["pipeline", "card", "demo", "--digest"],
        cwd=runner.folder,
        env=runner.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert ran.steps["Render its card"].outputs == {"digest": digest}
    assert f"Its digest is `{digest}`." in rest
    card = rest.partition("<summary>The card as it would be published</summary>\n\n")[2]
    assert card.lstrip().startswith("# SmolLM2")
    assert "base_model:" not in card
    assert "](assets/" not in card
    assert "\nImage: " in card
    (page,) = ran.steps["Keep the card as a page"].uploads
    assert page.name == "demo-card.html"
    assert page.read_text().lower().startswith("<!doctype html>")


def test_a_dry_run_goes_as_far_as_it_is_asked_to(runner):
    ran = runner.run(RELEASE, "preview", skip=(INSTALL, "Render its card"), inputs={**TYPED, "until": "quantize"})
    plan = ran.summary.partition("What would run, and why")[2]
    assert "    quantize " in plan
    assert "    render " not in plan


def test_a_release_that_is_not_there_is_said(runner):
    ran = runner.run(RELEASE, "preview", skip=(INSTALL,), inputs={**TYPED, "release": "dem"})
    assert ran.steps["Plan it"].code == 2
    assert "did you mean `demo`?" in ran.steps["Plan it"].said
    assert ran.steps["Render its card"].outcome == "skipped"


@pytest.fixture
def made(clone, released, tmp_path):
    """A runner on which the demo was made before: its checkout, and its workspace where the workflow puts it."""
    folder = tmp_path / "checkout"
    shutil.copytree(released.root, folder, ignore=shutil.ignore_patterns(released.workspace.name, "said.txt"))
    (folder / ".gitignore").write_text("/.pipeline/\n/.venv/\n")
    git(folder, "add", ".gitignore", f"{DEMO}/release.yaml")
    git(folder, "commit", "--quiet", "--message", "Fewer windows")

    def runner(workspace):
        # Nothing in there is changed in place.
        locks = shutil.ignore_patterns("lock", "commit.lock")
        shutil.copytree(released.workspace, workspace, copy_function=os.link, ignore=locks)
        return _runner(clone, folder, tmp_path)

    return runner


def test_the_rehearsal_publishes_the_demo_to_a_hub_of_its_own(made, tmp_path):
    """All but the long tasks, whose results are there already."""
    runner = made(tmp_path / "temp/rehearsal")
    shutil.rmtree(tmp_path / "temp/rehearsal/releases/demo/records/upload")
    ran = runner.run(RELEASE, "rehearsal", skip=(INSTALL,), inputs=TYPED)
    assert ran.succeeded, [step.said for step in ran.steps.values()]
    assert ran.summary.startswith("## Rehearsal\n")
    assert re.search(r"^    .*demo is published", ran.summary, re.MULTILINE)


def test_a_rehearsal_that_fails_fails(made, tmp_path):
    runner = made(tmp_path / "temp/rehearsal")
    release = runner.folder / DEMO / "release.yaml"
    release.write_text(release.read_text().replace("perplexity_increase: 10 %", "perplexity_increase: 0 %"))
    ran = runner.run(RELEASE, "rehearsal", skip=(INSTALL,), inputs=TYPED)
    assert ran.steps["Release the demo to a Hub of its own"].code == 3


def test_what_is_built_and_reviewed_is_published_and_pushed(made, tmp_path):
    """The jobs on a Mac, one after the other, in a checkout of their own each."""
    workspace = tmp_path / "large"
    runner = made(workspace)
    origin = tmp_path / "github/me/mine.git"
    git(tmp_path, "init", "--quiet", "--bare", str(origin))
    contexts = {
        "inputs": {**TYPED, "dry_run": False},
        "vars": {"PIPELINE_WORKSPACE": str(workspace)},
        "github": {"server_url": f"file://{tmp_path}/github", "repository": "me/mine", "token": "secret"},
    }
    built = runner.run(RELEASE, "build", skip=(INSTALL,), **contexts)
    assert built.succeeded, [step.said for step in built.steps.values()]
    assert re.fullmatch("sha256:[0-9a-f]{64}", built.outputs["digest"])
    assert (built.outputs["repository"], built.outputs["tag"]) == ("demo/SmolLM2-135M-Instruct-MLX-mixed", "v1")
    assert f"Only the card with this digest is published: `{built.outputs['digest']}`." in built.summary

    kept = tmp_path / "artifact"
    kept.mkdir()
    for path in built.steps["Keep what happened"].uploads:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, kept / path.name)
    git(runner.folder, "clean", "-ffdxq")
    git(runner.folder, "checkout", "--quiet", "--force", "HEAD")
    shutil.copytree(kept, runner.folder / DEMO, dirs_exist_ok=True)
    needs = {"build": {"outputs": {**built.outputs, "digest": "sha256:" + "0" * 64}}}
    other = runner.run(RELEASE, "publish", skip=(INSTALL,), needs=needs, **contexts)
    assert other.steps["Publish what was reviewed"].code == 5
    assert other.steps["Keep them"].outcome == "skipped"

    needs = {"build": {"outputs": built.outputs}}
    done = runner.run(RELEASE, "publish", skip=(INSTALL,), needs=needs, **contexts)
    assert done.succeeded, [step.said for step in done.steps.values()]
    assert not git(origin, "for-each-ref"), "the job on the Mac has no right to push"
    (bundle,) = done.steps["Keep them"].uploads

    elsewhere = Runner(tmp_path / "elsewhere", tmp_path / "other", runner.environment)
    for folder in (elsewhere.folder, elsewhere.temp):
        folder.mkdir()
    shutil.copy(bundle, elsewhere.temp)
    for attempt in ("first", "a job that is run again finds everything done"):
        pushed = elsewhere.run(RELEASE, "record", needs=needs, **contexts)
        assert pushed.succeeded, (attempt, [step.said for step in pushed.steps.values()])
    assert "compare/release/demo-v1?expand=1" in pushed.summary
    recorded = git(origin, "rev-parse", "demo-v1^{commit}", "release/demo-v1").split()
    assert recorded[0] == recorded[1] == git(runner.folder, "rev-parse", "demo-v1^{commit}")
    assert "secret" not in "".join(step.said for step in pushed.steps.values())
    again = runner.run(RELEASE, "publish", skip=(INSTALL,), needs=needs, **contexts)
    assert again.succeeded, "a job that is run again finds everything done"


def test_a_dry_run_waits_for_no_release_and_releases_of_one_name_for_each_other():
    group = load(RELEASE)["concurrency"]["group"]

    def waits_in(run, **typed):
        return filled(group, {"inputs": {**TYPED, **typed}, "github": {"run_id": run}})

    assert waits_in("1") == "dry-run-1"
    assert waits_in("1", dry_run=False) == waits_in("2", dry_run=False) == "release-demo"
    assert waits_in("2", dry_run=False, release="v3") == "release-v3"


def test_only_a_job_that_runs_nothing_of_the_repository_may_write_to_it():
    jobs = load(RELEASE)["jobs"]
    assert [name for name, job in jobs.items() if job["permissions"].get("contents") == "write"] == ["record"]
    assert not [step for step in jobs["record"]["steps"] if "checkout" in step.get("uses", "")]
    assert "self-hosted" not in jobs["record"]["runs-on"], "its token lives as long as the job"


def test_what_build_made_lies_where_publish_runs():
    jobs = load(RELEASE)["jobs"]
    assert jobs["build"]["runs-on"] == jobs["publish"]["runs-on"]
    assert "pipeline" in jobs["build"]["runs-on"], "a label that one Mac alone has"


GITHUB = {"server_url": "https://github.example", "repository": "me/mine", "run_id": "9"}


@pytest.fixture
def pull_request(runner):
    """Checked out as for a pull request that changes files: the merge of it into its base."""

    def merged(**changes):
        git(runner.folder, "checkout", "--quiet", "-b", "topic")
        for name, (before, after) in changes.items():
            path = runner.folder / name
            text = path.read_text()
            assert re.search(before, text)
            path.write_text(re.sub(before, after, text, count=1))
        git(runner.folder, "commit", "--quiet", "--all", "--message", "topic")
        git(runner.folder, "checkout", "--quiet", "main")
        git(runner.folder, "merge", "--quiet", "--no-ff", "--message", "merge", "topic")
        ran = runner.run(CARD, "render", skip=(INSTALL,), github=GITHUB)
        (comment,) = ran.steps["Keep the comment"].uploads
        return ran, comment.read_text()

    return merged


WORSE = {f"{DEMO}/evidence.json": (r'("kl_mean": 0\.0)(\d)', r"\g<1>9")}


def test_a_pull_request_that_changes_a_figure_without_its_card_fails_and_says_both(pull_request):
    ran, comment = pull_request(**WORSE)
    assert ran.steps["Render every card and compare it"].code == 5
    assert ran.outputs == {"touched": "true"}
    assert comment.startswith("<!-- pipeline: the cards of this pull request -->\n## Model cards\n")
    assert "> [!WARNING]" in comment
    assert re.search(r"^\| (\*\*)?worse(\*\*)? +\| KL", comment, re.MULTILINE)
    assert "demo-refused" not in comment, "what is not touched is not told"
    assert ran.summary == comment, "it fits"


def test_a_pull_request_that_touches_no_card_says_so(pull_request):
    ran, comment = pull_request(**{"README.md": ("Try it", "Try that")})
    assert ran.succeeded, ran.steps["Render every card and compare it"].said
    assert ran.outputs == {"touched": ""}
    assert ran.summary == comment
    assert comment.endswith("This pull request changes no model card.\n")


@pytest.mark.parametrize("code", [1, 2])
def test_cards_that_could_not_be_rendered_leave_a_comment_that_says_so(bare, tmp_path, code):
    (tmp_path / "fakes").mkdir()
    pipeline = tmp_path / "fakes/pipeline"
    pipeline.write_text(f"#!/bin/sh\nexit {code}\n")
    pipeline.chmod(0o755)
    ran = bare.run(CARD, "render", skip=(INSTALL,), github=GITHUB)
    assert ran.steps["Render every card and compare it"].code == code
    (comment,) = ran.steps["Keep the comment"].uploads
    log = "[the log](https://github.example/me/mine/actions/runs/9)"
    marker = "<!-- pipeline: the cards of this pull request -->"
    assert comment.read_text() == f"{marker}\nThe model cards could not be rendered: see {log}.\n"
    assert ran.summary == comment.read_text()


def test_so_does_a_pipeline_that_cannot_be_installed(bare):
    ran = bare.run(CARD, "render", github=GITHUB)
    assert ran.steps[INSTALL].outcome == "failure", "nothing is checked out"
    (comment,) = ran.steps["Keep the comment"].uploads
    assert "could not be rendered" in comment.read_text()


@pytest.mark.parametrize(
    ("state", "method"),
    [(("", "true"), "POST"), (("71\n72\n", "true"), "PATCH"), (("71\n", ""), "PATCH"), (("", ""), None)],
)
def test_one_comment_is_written_and_then_written_anew(bare, tmp_path, fake_gh, state, method):
    found, touched = state
    fake_gh(found)
    github = {"repository": "me/mine", "token": "secret", "event": {"pull_request": {"number": 7}}}
    ran = bare.run(CARD, "comment", github=github, needs={"render": {"outputs": {"touched": touched}}})
    assert ran.succeeded
    looked, *wrote = asked(tmp_path)
    assert "--paginate repos/me/mine/issues/7/comments" in looked
    assert '"<!-- pipeline: the cards of this pull request -->"' in looked
    place = "repos/me/mine/issues/comments/71" if found else "repos/me/mine/issues/7/comments"
    body = f"--field body=@{tmp_path}/temp/comment.md"
    assert wrote == ([f"api --silent --method {method} {place} {body}"] if method else [])


@pytest.mark.parametrize(
    ("repository", "author", "runs"),
    [("me/mine", "somebody", True), ("fork/mine", "somebody", False), ("me/mine", "dependabot[bot]", False)],
)
def test_who_may_not_write_a_comment_does_not_try(repository, author, runs):
    from github_runner import evaluate

    condition = EXPRESSION.fullmatch(load(CARD)["jobs"]["comment"]["if"])[1]
    request = {"head": {"repo": {"full_name": repository}}, "user": {"login": author}}
    github = {"repository": "me/mine", "event": {"pull_request": request}}
    assert evaluate(condition, {"github": github}) is runs
