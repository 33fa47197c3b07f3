"""Environments with a version of a package: made whole, kept, and made anew where a kill left half of one."""

from __future__ import annotations

import sys
from zipfile import ZipFile

import pytest
from little_environments import HERE, uv

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers import environments
from opfuzz.engine.drivers.elsewhere import versions_there
from opfuzz.engine.drivers.environments import Installer, NotInstalledError, Wanted, find_installer, prepare


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def installer_of(log) -> Installer:
    return Installer(str(log.with_name("uv")), ())


def wanted(version: str, *beside: tuple[str, ...]) -> Wanted:
    return Wanted(HERE, "demo", version, "demo", beside or ((),))


def test_it_is_made_once(tmp_path):
    log = uv(tmp_path / "bin", demo=("1.0", "1.1"), other=("3.0",))
    made = [prepare(wanted("1.0", ("other==3.0",)), installer_of(log)) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].is_relative_to(tmp_path / "cache" / "opfuzz" / "environments")
    assert versions_there(made[0], ["demo", "other", "numpy"]) == {"demo": "1.0", "other": "3.0"}
    assert log.read_text().splitlines() == ["demo==1.0 other==3.0"]
    assert prepare(wanted("1.1"), installer_of(log)) != made[0]
    assert prepare(wanted("1.0"), installer_of(log)) != made[0], "what is beside it counts"


def test_one_whose_python_is_gone_is_made_anew(tmp_path):
    log = uv(tmp_path / "bin", demo=("1.0",))
    python = prepare(wanted("1.0"), installer_of(log))
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert versions_there(prepare(wanted("1.0"), installer_of(log)), ["demo"]) == {"demo": "1.0"}


def test_half_of_one_is_made_anew(tmp_path):
    log = uv(tmp_path / "bin", demo=("1.0",))
    half = wanted("1.0").place
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").symlink_to("/nowhere")
    assert versions_there(prepare(wanted("1.0"), installer_of(log)), ["demo"]) == {"demo": "1.0"}


def test_what_is_beside_it_gives_way(tmp_path):
    log = uv(tmp_path / "bin", demo=("1.0",), other=("3.0",))
    made = prepare(wanted("1.0", ("other==9.9",), ("other==3.0",)), installer_of(log))
    assert versions_there(made, ["other"]) == {"other": "3.0"}


def test_a_version_that_there_is_not(tmp_path):
    log = uv(tmp_path / "bin", demo=("1.0",))
    with pytest.raises(NotInstalledError, match=r"^there is no demo==9\.9$"):
        prepare(wanted("9.9"), installer_of(log))
    assert not wanted("9.9").place.exists()


def test_without_a_network_no_other_version_is_tried(tmp_path):
    log = uv(tmp_path / "bin", told="error: Request failed\n  cause: Connection refused (os error 111)")
    with pytest.raises(
        OpfuzzError, match=r"^the installer reaches no index of packages: cause: Connection refused"
    ) as found:
        prepare(wanted("1.0"), installer_of(log))
    assert not isinstance(found.value, NotInstalledError)


def test_the_installer_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environments, "find_spec", lambda name: object())
    assert find_installer() == Installer(None, (sys.executable, "-m", "pip", "--disable-pip-version-check"))
    monkeypatch.setattr(environments, "find_spec", lambda name: None)
    with pytest.raises(
        OpfuzzError, match=r"no installer: put uv on the PATH, or give this Python its pip: .*ensurepip"
    ):
        find_installer()
    uv(tmp_path, demo=("1.0",))
    assert find_installer() == Installer(str(tmp_path / "uv"), ())


PIP = """
import sys
print(sys.argv[1:], file=sys.stderr)
print("demo (2.0)\\nAvailable versions: 2.0, 1.10, 1.9, old_one\\n  LATEST: 2.0" if "demo" in sys.argv else "")
sys.exit("demo" not in sys.argv)
"""


def test_versions_that_there_are(tmp_path):
    (tmp_path / "pip.py").write_text(PIP)
    found = Installer(None, (sys.executable, str(tmp_path / "pip.py")))
    assert found.versions("demo", HERE, with_previews=False) == ["2.0", "1.10", "1.9"]
    with pytest.raises(OpfuzzError, match=r"knows no versions of other: .*'index', 'versions', 'other', '--pre'"):
        found.versions("other", HERE, with_previews=True)


def test_pip_itself(tmp_path, monkeypatch):
    """With wheels of a folder, and no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    for version in ("1.0", "1.1"):
        name = f"demo-{version}.dist-info"
        with ZipFile(tmp_path / f"demo-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("demo.py", "")
            wheel.writestr(f"{name}/METADATA", f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n")
            wheel.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{name}/RECORD", f"demo.py,,\n{name}/METADATA,,\n{name}/WHEEL,,\n{name}/RECORD,,\n")
    assert versions_there(prepare(wanted("1.0"), find_installer()), ["demo"]) == {"demo": "1.0"}
