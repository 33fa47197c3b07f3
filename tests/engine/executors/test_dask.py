"""Work on a cluster: the same results as here, whatever ends on the way, and each item where its needs are met."""

from __future__ import annotations

import os
import signal

import casualties
import dask
import pytest
from authorities import Authority
from casualties import Hardship
from clusters import Cluster, arrived, kill
from waiting import until

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import LOCAL
from opfuzz.engine.executors.cluster import dask as executors
from opfuzz.engine.executors.cluster import desk as desks
from opfuzz.engine.executors.cluster.dask import Dask


def run(executor, batches, **options):
    found = dict(executor.run(Hardship(**options), batches, 2))
    return [found[number] for number in range(len(found))]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster"), "", "mlx=1") as cluster:
        with Dask(cluster.address) as executor:
            arrived(executor, 2)
        yield cluster


@pytest.fixture
def executor(cluster):
    with Dask(cluster.address) as executor:
        yield executor


def gone(pid):
    until(lambda: not os.path.exists(f"/proc/{pid}"))


def test_the_same_as_here(executor):
    batches = [[1, "abort", 2], [], [3, "exit"], list(range(20))]
    assert run(executor, batches) == run(LOCAL, batches)


def test_ctrl_c_is_raised_even_when_nothing_is_left_to_wait_for(executor, monkeypatch):
    before, hand_out = signal.getsignal(signal.SIGINT), desks.Desk._hand_out

    def interrupted(desk):
        empty = hand_out(desk)
        if not desk._flying:
            signal.raise_signal(signal.SIGINT)  # is not raised here
            assert signal.getsignal(signal.SIGINT) is before, "a second one is as ever"
        return empty

    monkeypatch.setattr(desks.Desk, "_hand_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(executor, [[1]])
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_are_prepared_and_end(executor):
    [[prepared, pid]] = run(executor, [["prepared", "pid"]])
    assert prepared == ["yes"]
    gone(pid)


def test_batches_that_depend_on_results(executor):
    """As shrinking asks: there is a next one only when the last has come."""
    following = [1]

    class Line:
        def __iter__(self):
            return self

        def __next__(self):
            if not following:
                raise StopIteration
            return [following.pop()]

    seen = []
    for _, (answer,) in executor.run(Hardship(), Line(), 2):
        seen.append(answer)
        if answer < 20:
            following.append(answer)
    assert seen == [2, 4, 8, 16, 32]


def test_each_item_is_where_its_needs_are_met(executor):
    parents = dict(executor.everywhere(os.getpid))
    (place,) = (parents[address] for address, (has, _) in executor.workers().items() if has == {"mlx"})
    found = run(executor, [["parent"], [1]] * 6, needed={"parent": frozenset({"mlx"})})
    assert {parent for (parent,) in found[::2]} == {place}
    assert found[1::2] == [[2]] * 6


def test_subjects_are_tried_together_where_one_machine_has_all(executor):
    mlx = frozenset({"mlx"})
    assert executor.crews({"torch:cpu": frozenset(), "mlx:cpu": mlx, "numpy:cpu": frozenset()}) == (
        ("torch:cpu", "numpy:cpu"),
        ("mlx:cpu",),
    )
    assert executor.crews({"torch:cpu": frozenset()}) == ((),)
    with pytest.raises(OpfuzzError) as caught:
        executor.crews({"torch:cpu": frozenset(), "torch:mps": frozenset({"mps"})})
    assert str(caught.value) == (
        "subject 'torch:mps': no worker of the cluster has the resource 'mps'; start one on a machine that has it: "
        f"DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker {executor.scheduler} --nthreads 1 --resources 'mps=1'"
    )


def test_a_worker_that_is_killed_costs_nothing(executor):
    batches = [["slow", number] for number in range(24)]
    wanted = [["slowslow", 2 * number] for number in range(24)]
    found = {}
    for number, results in executor.run(Hardship(), batches, 2):
        found[number] = results
        if len(found) == 4:
            os.kill(next(iter(executor.everywhere(os.getpid).values())), signal.SIGKILL)
    assert [found[number] for number in range(24)] == wanted
    arrived(executor, 2)


def test_a_machine_that_is_lost_costs_nothing(cluster, executor):
    process = cluster.worker()
    arrived(executor, 3)
    batches = [["slow", number] for number in range(24)]
    found = {}
    for number, results in executor.run(Hardship(), batches, 2):
        found[number] = results
        if len(found) == 4:
            kill(process)
    assert [found[number] for number in range(24)] == [["slowslow", 2 * number] for number in range(24)]
    arrived(executor, 2)


def test_no_worker_that_could_do_what_is_left_is_said(executor, monkeypatch):
    monkeypatch.setattr(desks, "PATIENCE", 1.0)
    with pytest.raises(OpfuzzError, match=r"^--scheduler tcp://\S+: no worker with mps for 1 s$"):
        run(executor, [[1], ["mps"]], needed={"mps": frozenset({"mps"})})


def test_work_that_no_worker_can_do_is_a_line(executor):
    with pytest.raises(
        OpfuzzError, match=r"^a worker of the cluster cannot work: RuntimeError: ValueError: no framework"
    ):
        run(executor, [[1]], prepare=casualties.fail)


def test_a_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with Dask(address, is_insecure=True) as executor, pytest.raises(OpfuzzError) as caught:
            executor.workers()
        assert str(caught.value) == (
            f"--scheduler {address}: no Dask scheduler answers there; start one with: dask scheduler"
        )


def test_workers_that_may_have_no_processes_are_refused_at_once(tmp_path):
    with Cluster(tmp_path) as cluster:
        with Dask(cluster.address) as executor, pytest.raises(OpfuzzError, match="no workers there; start some with: "):
            executor.workers()
        cluster.worker(daemon=True)

        def complaint():
            with Dask(cluster.address) as executor, pytest.raises(OpfuzzError) as caught:
                executor.workers()
            return str(caught.value)

        said = until(lambda: (words := complaint()) * ("no workers there" not in words))
        assert "its workers may not have processes of their own; start them with: DASK_" in said


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def guarded(authority, tmp_path_factory):
    """A cluster that hears nobody without a certificate of this authority."""
    certificates = authority.sign("cluster")
    with Cluster(tmp_path_factory.mktemp("guarded"), "", tls=certificates.options) as cluster:
        with Dask(cluster.address, certificates=certificates) as executor:
            arrived(executor, 1)
        yield cluster


def test_work_with_certificates(guarded, authority):
    assert guarded.address.startswith("tls://")
    batches = [[1, "abort", 2], [], list(range(20))]
    bare = guarded.address.removeprefix("tls://")
    with Dask(bare, certificates=authority.sign("client")) as executor:
        assert executor.scheduler == guarded.address
        assert run(executor, batches) == run(LOCAL, batches)


def test_certificates_of_dasks_own_settings(guarded, authority):
    with pytest.raises(OpfuzzError) as caught:
        Dask(guarded.address)
    assert str(caught.value) == (
        f"--scheduler {guarded.address}: TLS needs certificates: give --tls-ca, --tls-cert, --tls-key, or have Dask's "
        "settings of distributed.comm.tls name them"
    )
    client = authority.sign("settings")
    names = {"ca-file": client.authority, "client.cert": client.certificate, "client.key": client.key}
    settings = {f"distributed.comm.tls.{name}": str(path) for name, path in names.items()}
    with dask.config.set(settings), Dask(guarded.address) as executor:
        assert run(executor, [[1]]) == [[2]]


def test_a_scheduler_of_another_authority(guarded, tmp_path):
    theirs = Authority(tmp_path / "theirs").sign("client")
    with Dask(guarded.address, certificates=theirs) as executor, pytest.raises(OpfuzzError) as caught:
        executor.workers()
    said = str(caught.value)
    assert said.startswith(f"--scheduler {guarded.address}: --tls-ca {theirs.authority} does not vouch for its cert")
    assert said.endswith("; give the authority that has signed it")


def test_a_scheduler_without_tls(cluster, authority, monkeypatch):
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.5)
    client = authority.sign("alone")
    place = cluster.address.replace("tcp://", "tls://")
    with Dask(place, certificates=client) as executor, pytest.raises(OpfuzzError) as caught:
        executor.workers()
    assert str(caught.value) == (
        f"--scheduler {place}: no Dask scheduler with TLS that trusts --tls-cert {client.certificate} answers there; "
        f"start one with: dask scheduler {client.options}"
    )


def test_a_remedy_names_the_certificates(authority, tmp_path):
    certificates = authority.sign("remedy")
    with (
        Cluster(tmp_path, tls=certificates.options) as lonely,
        Dask(lonely.address, certificates=certificates) as executor,
        pytest.raises(OpfuzzError, match="no workers there") as caught,
    ):
        executor.workers()
    assert str(caught.value).endswith(f"dask worker {lonely.address} --nthreads 1 {certificates.options}")
