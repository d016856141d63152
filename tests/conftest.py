from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# In the background of a shell Ctrl-C is ignored, by us and by what we start, and tests of it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The client reads these when it is imported: before any test module does.
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
_memory = tempfile.TemporaryDirectory()
os.environ["HF_XET_CACHE"] = _memory.name
os.environ["HF_XET_CLIENT_RETRY_BASE_DELAY"] = "10ms"
IN_CI = bool(os.environ.get("CI"))
# What the person who runs the tests has set must not change what they see.
for variable in (
    *(name for name in os.environ if name.startswith("GIT_")),
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_DISABLE_XET",
    "PIPELINE_WORKSPACE",
    "CI",
    "NO_COLOR",
    "FORCE_COLOR",
):
    os.environ.pop(variable, None)

os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
os.environ["GIT_CONFIG_NOSYSTEM"] = "1"

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Timings of a shared machine say nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def smollm2_base(pytestconfig: pytest.Config) -> Path:
    """The demo's trained base model as a folder, made once and kept in pytest's cache."""
    from pipeline.rehearsal.catalogue import CATALOGUE, SMOLLM2, build

    folder = Path(pytestconfig.cache.mkdir("base")) / CATALOGUE[SMOLLM2].commit
    if not folder.exists():
        partial = folder.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        build(SMOLLM2, partial)
        partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def seeded_hub(pytestconfig: pytest.Config) -> Path:
    """The folder of an embedded Hub that holds the demo's base and text; tests work on copies."""
    from pipeline.hub.local.store import Store
    from pipeline.rehearsal.catalogue import CATALOGUE, seed

    folder = Path(pytestconfig.cache.mkdir("hub"))
    for repository in CATALOGUE:
        seed(Store(folder), repository, folder.parent / "seed", print)
    return folder


@pytest.fixture(scope="session")
def tiny_kimi_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Kimi K2.5: packed experts, nested config, vision tensors, tokenizer with remote code."""
    import tiny_kimi

    folder = tmp_path_factory.mktemp("kimi") / "base"
    tiny_kimi.write(folder)
    return folder


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, for pages that are looked at; every CI has one."""
    import chromium

    program = chromium.found()
    if program is None and IN_CI:
        pytest.fail("CI has to have Chromium: the page of a diff is looked at in it")
    if program is None:
        pytest.skip("there is no Chromium or Chrome on this machine")
    with chromium.browser(program) as driven:
        yield driven


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory):
    """The Hub's client for JavaScript at the version of its lock file; every CI has it."""
    import javascript

    try:
        return javascript.install(tmp_path_factory.mktemp("node") / "client", pytestconfig.cache.mkdir("npm"))
    except (ImportError, subprocess.SubprocessError) as error:
        why = f"the Hub's client for JavaScript cannot be installed: {getattr(error, 'stderr', None) or error}"
    if IN_CI:
        pytest.fail(why)
    pytest.skip(why)


@dataclass(frozen=True)
class ReleaseRepository:
    """A copy of this repository's releases, to run the command line in."""

    root: Path

    @property
    def workspace(self) -> Path:
        return self.root / ".pipeline"

    @property
    def hub(self) -> Path:
        return self.workspace / "hub"

    def start_from(self, hub: Path) -> None:
        """Give the embedded Hub a copy of `hub`; its files never change in place, so they are linked."""
        shutil.copytree(hub, self.hub, copy_function=os.link, ignore=shutil.ignore_patterns("lock", "commit.lock"))

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.root / "releases" / name / "release.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def git(self, *arguments: str) -> str:
        """What git says; its commits are by nobody and at no time, so that the same files have the same commit."""
        who = {f"GIT_{role}_{what}": "nobody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        when = {f"GIT_{role}_DATE": "2026-01-01T00:00:00Z" for role in ("AUTHOR", "COMMITTER")}
        command, environment = ["git", *arguments], os.environ | who | when
        said = subprocess.run(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        return said.strip()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and everything printed."""
        with self.start(*arguments) as process:
            said, _ = process.communicate(timeout=600)
            return process.returncode, said


@pytest.fixture(params=["xet", "lfs"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How large files are sent, by this process and by those that it starts."""
    from huggingface_hub import constants

    if request.param == "lfs":
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    # The variable was read when the client was imported; this is looked at before each file.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "lfs")
    return request.param


@pytest.fixture
def repository(tmp_path: Path) -> ReleaseRepository:
    return _copy(tmp_path / "repository")


@pytest.fixture(scope="module")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> ReleaseRepository:
    """One for all tests of a module, which work on copies of it."""
    return _copy(tmp_path_factory.mktemp("shared") / "repository")


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory, seeded_hub: Path) -> ReleaseRepository:
    """A repository in which `pipeline release demo` ran undisturbed, on two windows of text to be quick."""
    repository = _copy(tmp_path_factory.mktemp("released") / "repository")
    repository.start_from(seeded_hub)
    repository.edit("demo", "windows: 16", "windows: 2")
    code, said = repository.run("release", "demo")
    assert code == 0, said
    (repository.root / "said.txt").write_text(said)
    return repository


def _copy(root: Path) -> ReleaseRepository:
    for source in (ROOT / "releases").rglob("*"):
        if source.suffix == ".yaml" or source.name == "base.json":
            target = root / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    repository = ReleaseRepository(root)
    (root / ".gitignore").write_text("/.pipeline/\n")
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.git("add", ".")
    repository.git("commit", "--quiet", "--message", "What was asked")
    return repository
