"""`opfuzz run` on a Dask cluster: the same findings as here, also where a worker is killed or only some have MLX."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from distributed import Client
from small_campaigns import SPECS, plugin
from test_resume import document, ended, kill, started, stopped, words_of
from waiting import HUNG, until

sys.path.insert(0, str(Path(__file__).parent / "executors"))

from authorities import Authority
from clusters import Cluster, arrived

from opfuzz.engine.executors.cluster.access import OPTIONS
from opfuzz.engine.executors.cluster.dask import Dask


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster"), "mlx=1", "mlx=1") as cluster:
        with Client(cluster.address) as client:
            client.wait_for_workers(2, timeout=HUNG)
        yield cluster


# NumPy where a machine has MLX, so that no process loads a framework; its squares are off.
NEEDY = """
import numpy as np

from opfuzz.backends import derive
from opfuzz.backends.numpy import Numpy


class Needy(Numpy):
    def needs(self, device):
        return "mlx"


BACKENDS = [derive(Needy(), "needy", {"np.square": lambda x: np.square(x) * np.float32(1.001)})]
"""
ELSEWHERE = ("--executor", "dask", "--scheduler", "10.0.0.1:8786")


def on(cluster: Cluster) -> list[object]:
    return ["--executor", "dask", "--scheduler", cluster.address]


def test_a_worker_that_is_killed_changes_nothing(cluster, tmp_path):
    many = ("--cases", 150, "--case-time", "60s")  # a search takes a second, and more on a busy machine
    assert ended(words_of(tmp_path, "here", *many), tmp_path)[0] == 1
    with Dask(cluster.address) as dask:
        struck = next(iter(dask.everywhere(os.getpid).values()))
    status, err = stopped([*words_of(tmp_path, "there", *many), *on(cluster)], tmp_path, 2, lambda: os.kill(struck, 9))
    assert status == 1, err
    assert document(tmp_path / "there") == document(tmp_path / "here")


def test_a_run_that_began_here_ends_there(cluster, tmp_path):
    assert ended(words_of(tmp_path, "here"), tmp_path)[0] == 1
    kill(words_of(tmp_path, "both"), tmp_path, "both", 2)
    status, err = ended(["run", "--resume", "latest", "--out", "both", *on(cluster)], tmp_path)
    assert status == 1, err
    assert document(tmp_path / "both") == document(tmp_path / "here")


def test_where_only_some_have_mlx(cluster, tmp_path):
    cluster.worker()
    with Client(cluster.address) as client:
        client.wait_for_workers(3, timeout=HUNG)
    with Dask(cluster.address) as dask:
        assert len(dask.crews({"numpy:cpu": frozenset(), "needy:cpu": frozenset({"mlx"})})) == 2
    (tmp_path / "needy.py").write_text(NEEDY)
    words = ["run", SPECS, "--op", "square", "--subjects", "numpy:cpu,needy:cpu", "--plugin", tmp_path / "needy.py"]
    words += ["--format", "float32", "--cases", 6, "--out"]
    assert ended([*words, "here", "--shrink", "10m"], tmp_path)[0] == 1
    status, err = ended([*words, "there", "--shrink", "10m", *on(cluster)], tmp_path)
    assert status == 1, err
    here, there = document(tmp_path / "here"), document(tmp_path / "there")
    assert here.pop("distances"), "which are between subjects on one machine"
    assert there.pop("distances") == []
    assert there == here


def test_ctrl_c_in_a_terminal_ends_a_cluster_of_ones_own(tmp_path):
    """The terminal sends it to every process, those of the cluster too."""
    slow = ["run", SPECS, "--subjects", "slow:cpu", "--plugin", plugin(tmp_path), "--time", "600s", "--out", "cut"]
    process = started([*slow, "--executor", "dask", "--scheduler", "local", "--jobs", "1"], tmp_path)
    until(lambda: process.poll() is not None or any(p.stat().st_size > 1_000 for p in tmp_path.glob("cut/2*/journal")))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert document(tmp_path / "cut")["interrupted"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--executor", "dask"],
            "--executor dask needs a --scheduler: an address such as tcp://10.0.0.1:8786, or local",
        ),
        (["--scheduler", "local"], "--scheduler is of a Dask cluster: add --executor dask"),
        (["--tls-key", "k.pem"], "--tls-key is of a Dask cluster: add --executor dask"),
        (["--insecure"], "--insecure is of a Dask cluster: add --executor dask"),
        (
            ["--executor", "dask", "--scheduler", "local", "--tls-ca", "ca.pem"],
            "--tls-ca is of a cluster elsewhere: nobody gets to that of --scheduler local",
        ),
        (
            ["--executor", "dask", "--scheduler", "tls://10.0.0.1:8786", "--tls-ca", "ca.pem"],
            "--tls-ca, --tls-cert, --tls-key go together: add --tls-cert and --tls-key",
        ),
        (
            [*ELSEWHERE, "--tls-ca", "ca.pem", "--tls-cert", "c.pem", "--tls-key", "k.pem", "--insecure"],
            "--insecure is to do without certificates, and there are some; leave it out",
        ),
    ],
)
def test_options_that_go_together(words, message, tmp_path):
    status, err = ended(["run", *words], tmp_path)
    assert (status, err) == (2, f"opfuzz run: {message}; see 'opfuzz run --help'\n")


def test_a_subject_that_no_machine_has(cluster, tmp_path):
    status, err = ended(["run", "--subjects", "torch:mps", "--cases", "1", *on(cluster)], tmp_path)
    assert status == 2
    assert "torch:mps" in err
    assert err.count("\n") == 1


def test_another_machine_without_certificates_is_refused(tmp_path):
    assert ended(["run", *ELSEWHERE], tmp_path) == (
        2,
        "--scheduler 10.0.0.1:8786: others can reach it, and without TLS read along and run programs on the "
        "workers; give --tls-ca, --tls-cert, --tls-key, or say --insecure where the network is closed\n",
    )


def test_a_run_with_certificates(tmp_path):
    certificates = Authority(tmp_path / "tls").sign("all")
    files = (certificates.authority, certificates.certificate, certificates.key)
    named = [word for pair in zip(OPTIONS, files, strict=True) for word in pair]
    few = ["run", SPECS, "--op", "square", "--format", "float32", "--subjects", "numpy:cpu", "--cases", 2]
    with Cluster(tmp_path, "", tls=certificates.options) as guarded:
        with Dask(guarded.address, certificates=certificates) as dask:
            arrived(dask, 1)
        status, err = ended([*few, *on(guarded), *named, "--out", "there"], tmp_path)
    assert status == 0, err
    assert [row["op"] for row in document(tmp_path / "there")["ranking"]] == ["square"]
