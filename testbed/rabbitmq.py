"""A private RabbitMQ, beside any other on the machine: own node name, ports, port mapper, data and cookie."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from testbed.processes import ChildProcess, ProcessError, Processes, free_port
from testbed.waiting import connects

HOST = "127.0.0.1"
# Not the wrapper on PATH: it insists on the system's own user and folders.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL = SERVER.with_name("rabbitmqctl")
MAPPER, NODE = "epmd", "rabbitmq"
INSTALL_HINT = (
    "RabbitMQ is not installed. On Debian and Ubuntu: 'sudo apt-get install --no-install-recommends rabbitmq-server'. "
    "The service that comes with it is not needed: 'sudo systemctl disable --now rabbitmq-server'."
)
START_DEADLINE = timedelta(seconds=90)
EVAL_TIMEOUT = timedelta(seconds=60)
PROBE_TIMEOUT = timedelta(seconds=2)
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"


class RabbitMQ(Processes):
    """One node: ``async with RabbitMQ() as broker``, or :meth:`start` and :meth:`stop`.

    Address, account and data outlive :meth:`kill` and :meth:`restart`. The account may do all in :attr:`vhost`.
    :meth:`restart` brings back after a kill what was written to disk. RabbitMQ writes its list of quorum queues there
    up to a second after it has answered: a queue declared just before the kill comes back without a leader and takes
    nothing any more (seen with 3.10).
    """

    def __init__(self) -> None:
        super().__init__("devops-reconciler-rabbitmq")
        self.host = HOST
        self.port = free_port(HOST)
        self.username = "reconciler"
        self.password = secrets.token_urlsafe(24)
        self.vhost = "/"
        self._mapper_port = free_port(HOST)
        self._distribution_port = free_port(HOST)

    def _set_up(self) -> None:
        """Starts port mapper and node; blocks until AMQP connections are taken (about 7 s)."""
        mapper = shutil.which(MAPPER)
        if mapper is None or not SERVER.exists():
            raise ProcessError(INSTALL_HINT)
        folder = self._run.path
        self._write_files(folder)
        environment = self._environment(folder)
        self._processes = {
            # Started here, or the node would start one that outlives it.
            MAPPER: ChildProcess(
                MAPPER,
                [mapper, "-port", str(self._mapper_port), "-address", HOST],
                log=folder / "epmd.log",
                environment=environment,
            ),
            NODE: ChildProcess(NODE, [SERVER], log=folder / "rabbitmq.log", environment=environment, cwd=folder),
        }
        self._start_processes()

    def restart(self) -> None:
        """An orderly stop and a new start; what is durable is there again."""
        self.stop_processes()
        self._start_processes()

    def alarm(self, *, on: bool) -> None:
        """The alarm that the node is short of memory: it blocks every connection that publishes, and those alone."""
        what = "{{resource_limit, memory, node()}, []}" if on else "{resource_limit, memory, node()}"
        self.evaluate(f"rabbit_alarm:{'set' if on else 'clear'}_alarm({what}).")

    def evaluate(self, expression: str) -> str:
        """What an Erlang expression gives, evaluated at the node (2 s and more)."""
        environment = {
            **self._environment(self._run.path),
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        command = [str(CONTROL), "eval", expression]
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=EVAL_TIMEOUT.total_seconds(), check=False
        )
        if ended.returncode:
            raise ProcessError(f"rabbitmqctl eval {expression}: {ended.stderr.strip() or ended.stdout.strip()}")
        return ended.stdout.strip()

    def _start_processes(self) -> None:
        mapper, node = (self._processes[name] for name in (MAPPER, NODE))
        mapper.start()
        mapper.wait_until_ready(lambda: connects(HOST, self._mapper_port))
        node.start()
        node.wait_until_ready(lambda: _speaks_amqp(self.port), START_DEADLINE)

    def _write_files(self, folder: Path) -> None:
        (folder / "rabbitmq.conf").write_text(
            f"default_user = {self.username}\n"
            f"default_pass = {self.password}\n"
            "default_vhost = /\n"
            "log.console = true\n"
            "log.console.level = info\n"
            "log.file = false\n"
            # A quorum queue reserves a file of this size; the usual 512 MB are for brokers with work to do.
            "raft.wal_max_size_bytes = 16777216\n"
            "disk_free_limit.absolute = 50MB\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "advanced.config").write_text("[].\n")
        (folder / "environment.conf").touch()
        (folder / "conf.d").mkdir()

    def _environment(self, folder: Path) -> Mapping[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            # The cookie is kept here, so that no other node of this user is met.
            "HOME": str(folder),
            # Erlang itself takes the signals then, instead of a shell around it that asks rabbitmqctl.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": f"testbed-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
            # Distribution on loopback only; idle schedulers sleep instead of spinning.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
            "+sbwt none +sbwtdcpu none +sbwtdio none",
        }


def _speaks_amqp(port: int) -> bool:
    """Whether the node answers a protocol header with its first frame: later than the port opens."""
    with suppress(OSError), socket.create_connection((HOST, port), PROBE_TIMEOUT.total_seconds()) as connection:
        connection.sendall(PROTOCOL_HEADER)
        return connection.recv(1) == METHOD_FRAME
    return False
