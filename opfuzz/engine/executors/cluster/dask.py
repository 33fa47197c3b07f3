"""The executor of a Dask cluster: of one that is there, or of one that it starts on this machine and ends."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import ssl
import uuid
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Security

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.base import Casualty, Executor
from opfuzz.engine.executors.cluster.access import CA, CERTIFICATE, OPTIONS, TLS, Certificates, place_of
from opfuzz.engine.executors.cluster.crew import Crew
from opfuzz.engine.executors.cluster.desk import Desk, Workers, failed
from opfuzz.engine.executors.signals import heard_by, ignoring
from opfuzz.engine.executors.task import Answer, Item, State, Task

CONNECT_SECONDS = 10.0
LOCAL = "local"
DAEMON = "distributed.worker.daemon"  # Dask's setting: a worker that is a daemon may have no processes


def _from_settings(address: str) -> Certificates:
    """What Dask's own settings say of a client. Raises OpfuzzError if they have no certificates."""
    known = Security().get_tls_config_for_role("client")
    authority, certificate = known["ca_file"], known["cert"]
    if not (authority and certificate):
        raise OpfuzzError(
            f"--scheduler {address}: TLS needs certificates: give {', '.join(OPTIONS)}, or have Dask's settings of "
            "distributed.comm.tls name them"
        )
    return Certificates(Path(authority), Path(certificate), Path(known["key"] or certificate))


def _is_daemon() -> bool:
    return bool(multiprocessing.current_process().daemon)


class Dask(Executor):
    """Isolated processes on the workers of a cluster; `scheduler` is its address, or 'local' for one on this machine.

    `local` needs say what the machine's own cluster has. Without certificates an address with TLS takes those of Dask's
    own settings. Raises OpfuzzError for an address of another machine without TLS unless it `is_insecure`, for
    certificates that are none, and if there is no such scheduler.
    """

    batch = 256  # a task costs some milliseconds

    def __init__(
        self,
        scheduler: str,
        jobs: int = 1,
        local: frozenset[str] = frozenset(),
        certificates: Certificates | None = None,
        is_insecure: bool = False,
    ) -> None:
        self.scheduler, self._jobs, self._local = scheduler, jobs, local
        if scheduler != LOCAL:
            self.scheduler = place_of(scheduler, certificates, is_insecure)
        if certificates is None and self.scheduler.startswith(f"{TLS}://"):
            certificates = _from_settings(self.scheduler)
        if certificates is not None:
            certificates.check()
        self._certificates = certificates
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None

    def __exit__(self, *error: object) -> None:
        """Let go of the cluster; one on this machine ends."""
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    @property
    def width(self) -> int:
        """See Executor."""
        return sum(threads for _, threads in self.workers().values())

    def everywhere(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """See Executor. Called in the workers of the cluster, not in processes of their own."""
        if self.scheduler == LOCAL:
            return super().everywhere(function, *args)
        self.workers()
        found = self._connected().run(function, *args, on_error="return")
        for address, answer in found.items():
            if isinstance(answer, BaseException):
                raise failed(address, answer)
        return dict(found)

    def crews(self, needs: Mapping[str, frozenset[str]]) -> tuple[tuple[str, ...], ...]:
        """See Executor. All together if each worker has all; else by what they need, in the order of `needs`."""
        every = frozenset().union(*needs.values())
        workers = self.workers()
        if all(every <= has for has, _ in workers.values()):
            return ((),)
        for subject, need in needs.items():
            if not any(need <= has for has, _ in workers.values()):
                lacking = ", ".join(sorted(need))
                raise OpfuzzError(
                    f"subject '{subject}': no worker of the cluster has the resource '{lacking}'; start one on a "
                    f"machine that has it: {self._remedy(lacking)}"
                )
        found: dict[frozenset[str], list[str]] = defaultdict(list)
        for subject, need in needs.items():
            found[need].append(subject)
        return tuple(map(tuple, found.values()))

    def run(
        self, task: Task[State, Item, Answer], batches: Iterable[Sequence[Item]], jobs: int
    ) -> Generator[tuple[int, list[Answer | Casualty]], None, None]:
        """See Executor. `jobs` is what the workers of the cluster are."""
        client = self._connected()
        crew = Crew(f"opfuzz-{uuid.uuid4().hex}", task)
        desk = Desk(client, self.scheduler, self.workers, crew.name, batches, task.needs)
        client.register_plugin(crew, name=crew.name)
        try:
            while (found := _uninterrupted(desk)) is not None:
                yield found
        finally:
            # A cluster that is gone has nothing left to end.
            with contextlib.suppress(OSError, TimeoutError):
                desk.clear()
                if client.status == "running":
                    client.unregister_worker_plugin(crew.name)

    def _connected(self) -> Client:
        if self._client is None:
            logging.getLogger("distributed").setLevel(logging.ERROR)  # a lost worker is no news for the user
            place = self._cluster_here() if self.scheduler == LOCAL else self.scheduler
            try:
                self._client = Client(place, timeout=CONNECT_SECONDS, security=self._security())
            except (OSError, ValueError, TimeoutError) as error:
                raise self._unanswered(error) from None
            except (TypeError, ImportError) as error:  # an address that needs a setting or a library
                raise OpfuzzError(f"--scheduler {self.scheduler}: {' '.join(str(error).split())}") from None
            daemons = self._client.run(_is_daemon)
            if not daemons:
                raise OpfuzzError(f"--scheduler {self.scheduler}: no workers there; start some with: {self._remedy()}")
            if any(daemons.values()):
                raise OpfuzzError(
                    f"--scheduler {self.scheduler}: its workers may not have processes of their own; start them with: "
                    f"{self._remedy()}"
                )
        return self._client

    def _security(self) -> Security | None:
        if (held := self._certificates) is None:
            return None
        return Security(
            require_encryption=True,
            tls_ca_file=str(held.authority),
            tls_client_cert=str(held.certificate),
            tls_client_key=str(held.key),
        )

    def _unanswered(self, error: Exception) -> OpfuzzError:
        held = self._certificates
        if held is not None and isinstance(refusal := error.__cause__, ssl.SSLCertVerificationError):
            return OpfuzzError(
                f"--scheduler {self.scheduler}: {CA} {held.authority} does not vouch for its certificate: "
                f"{refusal.verify_message}; give the authority that has signed it"
            )
        trusting, options = "", ""
        if held is not None:
            trusting = f" with TLS that trusts {CERTIFICATE} {held.certificate}"
            options = f" {held.options}"
        return OpfuzzError(
            f"--scheduler {self.scheduler}: no Dask scheduler{trusting} answers there; start one with: "
            f"dask scheduler{options}"
        )

    def _remedy(self, resource: str = "") -> str:
        words = f" --resources '{resource}=1'" if resource else ""
        if self._certificates is not None:
            words += f" {self._certificates.options}"
        return f"DASK_{DAEMON.replace('.', '__').upper()}=False dask worker {self.scheduler} --nthreads 1{words}"

    def _cluster_here(self) -> LocalCluster:
        settings = {DAEMON: False, "distributed.scheduler.allowed-failures": 100}
        # Ctrl-C in a terminal is for this process, which ends the cluster: its processes are born ignoring it.
        with dask.config.set(settings), ignoring(signal.SIGINT):
            self._cluster = LocalCluster(
                n_workers=self._jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=0,  # isolated processes have limits of their own
                resources=dict.fromkeys(self._local, 1.0),
                silence_logs=logging.CRITICAL,
            )
        return self._cluster

    def workers(self) -> Workers:
        """What each worker of the cluster has, and its threads."""
        client = self._connected()
        found = client.scheduler_info(n_workers=-1)["workers"]
        return {address: (frozenset(each["resources"]), int(each["nthreads"])) for address, each in found.items()}


def _uninterrupted(desk: Desk) -> tuple[int, list[Any]] | None:
    """`desk.next()`, with an interruption raised between its steps or after them, not in a finaliser of a future."""
    with heard_by(desk.interrupt, signal.SIGINT, signal.SIGTERM):
        found = desk.next()
    desk.heed()
    return found
