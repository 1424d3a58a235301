"""A coordinator and its shards, set up by the statements of docs/sharding.md, and one server."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Engine

from tests.shards.servers import OWNER, PASSWORD, ShardServer
from tests.support import powerauth
from tests.support.audit import Change, Verification, add_changes, add_verifications
from tests.support.documents import blocks
from tests.support.powerauth import Activation
from tests.support.proxy import Proxy
from tests.support.questions import APPLICATIONS

SHARDING = Path(__file__).parents[2] / "docs/sharding.md"
READER = "telemetry_reader"
DATABASE = "powerauth"
UNSHARDED = "unsharded"
SHARDS = 2
_OTHERS = "pa_signature_audit, pa_activation_history"
"""What lies on the coordinator; a report joins them by the activation's id."""


class Cluster:
    """Two shards and a coordinator, which reaches the last shard through ``proxy``.

    What it starts is ended by ``stack``.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.shards = [stack.enter_context(ShardServer()) for _ in range(SHARDS)]
        self.coordinator = stack.enter_context(ShardServer())
        self.proxy = stack.enter_context(Proxy(self.shards[-1].socket))
        for server in (*self.shards, self.coordinator):
            server.execute(f"CREATE DATABASE {DATABASE}")
        self.coordinator.execute(f"CREATE DATABASE {UNSHARDED}")
        self._create_tables()

    @property
    def owner(self) -> Engine:
        """The owner's engine of the sharded database."""
        return self.coordinator.engine(DATABASE)

    @property
    def unsharded(self) -> Engine:
        """The owner's engine of a database with the same rows in ordinary tables."""
        return self.coordinator.engine(UNSHARDED)

    @property
    def reader(self) -> Engine:
        """The documented reader's engine of the sharded database."""
        return self.coordinator.engine(DATABASE, READER)

    def fill(
        self,
        activations: Sequence[Activation],
        changes: Sequence[Change],
        verifications: Sequence[Verification],
    ) -> None:
        """Write the same rows to both databases; the coordinator finds the shard of each."""
        for engine in (self.owner, self.unsharded):
            powerauth.add_activations(engine, activations)
            add_changes(engine, changes)
            add_verifications(engine, verifications)
        self.vacuum()

    def vacuum(self) -> None:
        """Measure the tables for the planners, as documented on the coordinator."""
        self.coordinator.execute(*_blocks("ANALYZE"), f"ANALYZE {_OTHERS}", database=DATABASE)
        self.coordinator.execute("VACUUM ANALYZE", database=UNSHARDED)
        for shard in self.shards:
            shard.execute("VACUUM ANALYZE", database=DATABASE)

    def reach_directly(self) -> None:
        """Have the coordinator reach the last shard without the proxy."""
        port = self.shards[-1].port
        alter = f"ALTER SERVER shard_{SHARDS - 1} OPTIONS (SET port '{port}')"
        self.coordinator.execute(alter, database=DATABASE)

    def rows(self) -> list[int]:
        """How many activations lie on each shard."""
        return [_count(server.engine(DATABASE)) for server in self.shards]

    def heal(self) -> None:
        """Have every shard run, and reached."""
        self.proxy.resume()
        self.proxy.close_all()
        for shard in self.shards:
            shard.start_if_gone()

    def _create_tables(self) -> None:
        for engine in (self.owner, self.unsharded):
            powerauth.create_schema(engine)
        for shard in self.shards:
            shard.execute(*_blocks("ROLE telemetry_shard"), database=DATABASE)
        self.coordinator.execute(
            "DROP TABLE pa_activation, pa_application",
            *_blocks("CREATE EXTENSION"),
            f"GRANT SELECT ON {_OTHERS} TO {READER}",
            *(statement for number in range(SHARDS) for statement in self._attach(number)),
            database=DATABASE,
        )
        for engine in (self.owner, self.unsharded):
            powerauth.add_applications(engine, APPLICATIONS)

    def _attach(self, number: int) -> Iterator[str]:
        port = self.proxy.port if number == SHARDS - 1 else self.shards[number].port
        (block,) = _blocks("CREATE SERVER")
        for before, after in (
            ("shard_0", f"shard_{number}"),
            ("pa_activation_0", f"pa_activation_{number}"),
            ("REMAINDER 0", f"REMAINDER {number}"),
            ("'HOST'", "'127.0.0.1'"),
            ("'PORT'", f"'{port}'"),
            ("'DATABASE'", f"'{DATABASE}'"),
        ):
            assert before in block
            block = block.replace(before, after)
        yield block
        yield (
            f"CREATE USER MAPPING FOR {OWNER} SERVER shard_{number}"
            f" OPTIONS (user '{OWNER}', password '{PASSWORD}')"
        )


def _blocks(having: str) -> list[str]:
    """The SQL blocks of the document that have these words."""
    found = [block for block in blocks(SHARDING, "sql") if having in block]
    assert found, having
    return found


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM pa_activation").scalar_one())


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is stopped at the end, also when it could not be set up."""
    with ExitStack() as stack:
        yield Cluster(stack)
