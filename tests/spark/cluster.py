"""A standalone cluster of Apache Spark and its Thrift server, on loopback in an own folder."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import pyspark

HOST = "127.0.0.1"
JDBC_DRIVER = Path("/usr/share/java/postgresql.jar")
MASTER = "org.apache.spark.deploy.master.Master"
WORKER = "org.apache.spark.deploy.worker.Worker"
THRIFT_SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
START_SECONDS = 90
_HOME = Path(pyspark.__file__).parent


class Cluster:
    """A master, workers of one core each, and a Thrift server; ``stop`` ends what was started.

    ``commands`` are the scripts that were run, each with its arguments; ``environment`` is theirs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [_free_port(), _free_port()]
        self.commands: list[list[str]] = []
        self.environment = _environment(folder)
        self._started = 0
        (folder / "tmp" / "scratch").mkdir(parents=True)
        (folder / "tmp" / "scratch").chmod(0o733)  # as Hive wants it
        self._processes: list[subprocess.Popen[bytes]] = []
        self._master = f"spark://{HOST}:{self.ports[0]}"
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start a master, two workers and the Thrift server."""
        self._start_master()
        self.workers = [self.start_worker(), self.start_worker()]
        self.start_thrift_server()

    @property
    def url(self) -> str:
        """The URL of the Thrift server for SQLAlchemy."""
        return f"impala://{HOST}:{self.ports[1]}/default?auth_mechanism=PLAIN"

    def _start_master(self) -> None:
        port = self.ports[0]
        self._start("spark-class", MASTER, "--host", HOST, "--port", str(port), "--webui-port", "0")
        self._wait(lambda: _listens(port))

    def start_worker(self) -> subprocess.Popen[bytes]:
        """One more worker, with an executor as soon as there is an application."""
        self._started += 1
        folder = self.folder / f"worker-{self._started}"
        options = {"--host": HOST, "--cores": "1", "--memory": "1g", "--webui-port": "0"}
        return self._start(
            "spark-class", WORKER, *_pairs(options), "--work-dir", str(folder), self._master
        )

    def start_thrift_server(self) -> None:
        """The Thrift server, when it answers."""
        port = self.ports[1]
        hive = {"hive.server2.thrift.port": str(port), "hive.server2.thrift.bind.host": HOST}
        self._thrift_server = self._start(
            "spark-submit",
            "--master",
            self._master,
            *("--class", THRIFT_SERVER, "--jars", str(JDBC_DRIVER)),
            *("--driver-memory", "1g", "--executor-memory", "1g"),
            *(part for name in _settings(self.folder).items() for part in _option("--conf", name)),
            *(part for name in hive.items() for part in _option("--hiveconf", name)),
        )
        self._wait(lambda: _listens(port))

    def stop_thrift_server(self) -> None:
        """End it, as an operator would."""
        self._thrift_server.terminate()
        self._thrift_server.wait(60)

    def kill_worker(self) -> None:
        """Kill a worker and its executor at once, as if its machine were gone."""
        worker = self.workers.pop()
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(20)

    def executors(self) -> int:
        """How many executors are running."""
        return sum("CoarseGrainedExecutorBackend" in line for line in self._commands())

    def addresses(self) -> set[str]:
        """Where the processes listen, without ports."""
        started = [psutil.Process(one.pid) for one in self._processes if one.poll() is None]
        processes = {each for one in started for each in (one, *one.children(recursive=True))}
        return {
            socket_.laddr.ip.removeprefix("::ffff:")
            for process in processes
            for socket_ in process.net_connections("inet")
            if socket_.status == psutil.CONN_LISTEN
        }

    def left(self) -> list[str]:
        """The processes that still have something to do with this cluster."""
        return list(self._commands())

    def _commands(self) -> Sequence[str]:
        lines = []
        for process in psutil.process_iter():
            try:
                # An executor is told by its folder alone.
                line = " ".join([*process.cmdline(), process.cwd()])
            except psutil.Error:
                continue
            if str(self.folder) in line or self._master in line:
                lines.append(line)
        return lines

    def stop(self) -> None:
        """End every process that was started, by its own group."""
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)

    def _start(self, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        self.commands.append([script, *arguments])
        started = len(self._processes)
        log = self.folder / f"{started}-{script}.log"
        # Each has a folder of its own, so that nothing depends on where it was started.
        place = self.folder / f"started-{started}"
        place.mkdir()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [_HOME / "bin" / script, *arguments],
                cwd=place,
                env=os.environ | self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            last = self._processes[-1]
            assert last.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.1)

    def _log(self) -> str:
        (log,) = self.folder.glob(f"{len(self._processes) - 1}-*.log")
        return log.read_text(errors="replace")[-4000:]


def _settings(folder: Path) -> Mapping[str, str]:
    return {
        "spark.driver.bindAddress": HOST,
        "spark.driver.host": HOST,
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.hadoop.javax.jdo.option.ConnectionURL": (
            f"jdbc:derby:;databaseName={folder}/metastore;create=true"
        ),
        "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={folder / 'tmp'}",
        "spark.hadoop.hive.exec.scratchdir": str(folder / "tmp" / "scratch"),
    }


def _environment(folder: Path) -> dict[str, str]:
    return {
        "SPARK_HOME": str(_HOME),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(folder / "tmp"),
        "SPARK_DAEMON_JAVA_OPTS": f"-Djava.io.tmpdir={folder / 'tmp'}",
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
    }


def _option(flag: str, setting: tuple[str, str]) -> tuple[str, str]:
    name, value = setting
    return flag, f"{name}={value}"


def _pairs(options: Mapping[str, str]) -> list[str]:
    return [part for pair in options.items() for part in pair]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0
