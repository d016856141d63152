from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys

from pipeline import provenance


def test_tools_are_the_installed_versions_and_load_nothing() -> None:
    code = (
        "import json, sys; from pipeline import provenance; print(json.dumps([provenance.tools(), list(sys.modules)]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tools, modules = json.loads(ran.stdout)
    import mlx.core as mx

    assert tools["mlx"] == mx.__version__
    assert tools["python"] == platform.python_version()
    assert {"mlx-lm", "huggingface_hub", "transformers", "pipeline"} <= tools.keys()
    assert not {"mlx", "mlx_lm", "huggingface_hub", "transformers", "git", "numpy"} & set(modules)


def test_the_machine_is_described_but_not_named() -> None:
    machine = provenance.machine()
    assert machine["chip"] != "unknown"
    assert isinstance(machine["cores"], int)
    assert isinstance(machine["memory"], int)
    assert machine["memory"] > 1 << 30
    written = json.dumps(machine)
    assert platform.node() not in written
    assert f'"{getpass.getuser()}"' not in written
