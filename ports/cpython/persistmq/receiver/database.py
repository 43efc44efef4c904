"""Messages as rows of a table, each once: rows and ledger in one transaction, in SQLite or PostgreSQL.

The database is the truth and the ledger in RAM a copy of it, read again after each failure. A name in the table
``persistmq_receiver`` says who may write: a receiver that hung and comes back finds another one's there, and ends.
"""

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .ledger import Batch, Key, Ledger, Stream
from .output import Output, OutputError, Received, Superseded

_HAVE, _NEVER = "have", "never"
_WAIT_S = "10"  # for somebody else's lock on an SQLite file
_ONE = 1  # the only row of persistmq_receiver
_OURS = "persistmq_"  # what the receiver's own tables begin with

_metadata = sa.MetaData()
_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts up by itself in an INTEGER only
_streams = sa.Table(
    "persistmq_streams",
    _metadata,
    sa.Column("client", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("closed_end", sa.BigInteger, nullable=False),
    sa.Column("closed", sa.BigInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("repeated", sa.BigInteger, nullable=False),
    sa.Column("last_ms", sa.BigInteger, nullable=False),
)
_ranges = sa.Table(
    "persistmq_ranges",
    _metadata,
    sa.Column("client", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True),
    sa.Column("kind", sa.String(5), primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
)
_aside = sa.Table(
    "persistmq_aside",
    _metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("received_ms", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
_receiver = sa.Table(
    "persistmq_receiver",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String(32), nullable=False),
)
_COUNTS = ("first", "closed_end", "closed", "received", "repeated", "last_ms")


def messages_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Where the messages go. ``client``, ``epoch`` and ``seq`` are NULL of a message without identity."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", _id, primary_key=True, autoincrement=True),
        sa.Column("client", sa.Text),
        sa.Column("epoch", sa.BigInteger),
        sa.Column("seq", sa.BigInteger),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("qos", sa.SmallInteger, nullable=False),
        sa.Column("retain", sa.Boolean, nullable=False),
        sa.Column("accepted_ms", sa.BigInteger),
        sa.Column("expires_s", sa.BigInteger),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("client", "epoch", "seq"),
    )


class Database(Output):
    """``url``: ``sqlite:///file.db`` or ``postgresql://user@host/name``. Tables are made where they are missing.

    One receiver at a time; the one that began last goes on. Raises OutputError if the database is not there, ValueError
    for another kind of database, and for a ``table`` that has the name of one of the receiver's own.
    """

    def __init__(self, url: str, table: str = "messages", expects_all: bool = False) -> None:
        if not table or table.lower().startswith(_OURS):  # SQLite knows no difference
            raise ValueError("table is %r: it must have a name, and those that begin with %s are ours" % (table, _OURS))
        self._engine = engine_of(url)
        self._table = messages_table(table, sa.MetaData())
        self._expects_all = expects_all
        self._holder = secrets.token_hex(16)
        try:
            with self._transaction() as connection:
                _metadata.create_all(connection)
                self._table.metadata.create_all(connection)
                connection.execute(self._upsert(_receiver, {"id": _ONE, "holder": self._holder}, ["id"]))
            self.reload()
        except BaseException:
            self.close()
            raise

    def write(self, messages: list[Received], batch: Batch) -> None:
        with self._transaction() as connection:
            self._check_holder(connection)
            if messages:
                # What the ledger does not know may be there all the same, if somebody brought rows back from a backup.
                rows = [_row(message) for message in messages]
                connection.execute(self._insert(self._table).on_conflict_do_nothing(), rows)
            for key, taken in batch.streams.items():
                self._write_stream(connection, key, self.ledger.with_counts(key, taken))

    def reload(self) -> None:
        with self._transaction() as connection:
            self.ledger = _read(connection, self._expects_all)

    def put_aside(self, name: str, head: dict[str, Any], payload: bytes) -> bool:
        row = head | {"name": name, "payload": payload, "topic": head["topic"].replace("\0", "\ufffd")}
        with self._transaction() as connection:
            self._check_holder(connection)
            if connection.execute(sa.select(_aside.c.name).where(_aside.c.name == name)).first() is not None:
                return False
            connection.execute(sa.insert(_aside).values(row))
            return True

    def aside(self) -> tuple[int, int]:
        with self._transaction() as connection:
            length = sa.func.coalesce(sa.func.sum(sa.func.length(_aside.c.payload)), 0)
            count, total = connection.execute(sa.select(sa.func.count(), length).select_from(_aside)).one()
            return int(count), int(total)

    def close(self) -> None:
        self._engine.dispose()

    # --- inside ---

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """Raises OutputError for what a database can fail with."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _failed(error) from error

    def _check_holder(self, connection: sa.Connection) -> None:
        # An update and not a select: whoever takes over waits until this transaction has ended.
        mine = sa.update(_receiver).where(_receiver.c.id == _ONE, _receiver.c.holder == self._holder)
        if not connection.execute(mine.values(holder=self._holder)).rowcount:
            raise Superseded("another receiver writes to this database now")

    def _write_stream(self, connection: sa.Connection, key: Key, stream: Stream) -> None:
        counts = {name: getattr(stream, name) for name in _COUNTS}
        row = {"client": key.client, "epoch": key.epoch} | counts
        connection.execute(self._upsert(_streams, row, ["client", "epoch"]))
        for kind, runs in ((_HAVE, stream.have), (_NEVER, stream.never)):
            for first, last in runs:
                _add_range(connection, key, kind, first, last)
        if stream.closed_end:
            below = _of(key, _ranges) & (_ranges.c.last < stream.closed_end)
            connection.execute(sa.delete(_ranges).where(below))

    def _insert(self, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)

    def _upsert(self, table: sa.Table, row: dict[str, Any], keys: list[str]) -> sa.Executable:
        statement = self._insert(table).values(row)
        rest = {name: value for name, value in row.items() if name not in keys}
        return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def engine_of(url: str) -> sa.Engine:
    """For SQLite or PostgreSQL. Raises ValueError."""
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as error:
        raise ValueError("not the URL of a database: %s" % error) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("a database in RAM keeps nothing: sqlite:///FILE")
        engine = sa.create_engine(parsed.update_query_dict({"timeout": _WAIT_S} | dict(parsed.query)))
        sa.event.listen(engine, "connect", _set_up_sqlite)
        return engine
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("the database is to be SQLite or PostgreSQL, not %s" % parsed.get_backend_name())
    return sa.create_engine(parsed)


def read_ledger(url: str) -> Ledger:
    """What a receiver has written there, which may be at work. Raises ValueError, OutputError."""
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(_streams.name):
                raise OutputError("no receiver has written to this database yet")
            return _read(connection, False)
    except SQLAlchemyError as error:
        raise _failed(error) from error
    finally:
        engine.dispose()


def _failed(error: SQLAlchemyError) -> OutputError:
    reason = error.orig if isinstance(error, DBAPIError) else error
    return OutputError("the database: %s" % " ".join(str(reason).split()))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # A commit survives a power cut; who reads is not held up.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _row(message: Received) -> dict[str, Any]:
    row = message._asdict()
    identity = row.pop("identity")
    client, epoch, seq = identity or (None, None, None)
    return row | {"client": client, "epoch": epoch, "seq": seq}


def _of(key: Key, table: sa.Table) -> "sa.ColumnElement[bool]":
    return (table.c.client == key.client) & (table.c.epoch == key.epoch)


def _add_range(connection: sa.Connection, key: Key, kind: str, first: int, last: int) -> None:
    """Those that overlap it or touch it become one with it."""
    near = _of(key, _ranges) & (_ranges.c.kind == kind)
    near &= (_ranges.c.last >= first - 1) & (_ranges.c.first <= last + 1)
    least, most = connection.execute(
        sa.select(sa.func.min(_ranges.c.first), sa.func.max(_ranges.c.last)).where(near)
    ).one()
    if least is not None:
        connection.execute(sa.delete(_ranges).where(near))
        first, last = min(first, least), max(last, most)
    row = {"client": key.client, "epoch": key.epoch, "kind": kind, "first": first, "last": last}
    connection.execute(sa.insert(_ranges).values(row))


def _read(connection: sa.Connection, expects_all: bool) -> Ledger:
    ledger = Ledger(expects_all)
    for client, epoch, *counts in connection.execute(sa.select(_streams)):
        ledger.streams[Key(client, epoch)] = Stream(**dict(zip(_COUNTS, counts, strict=True)))
    for client, epoch, kind, first, last in connection.execute(sa.select(_ranges).order_by(_ranges.c.first)):
        stream = ledger.streams.get(Key(client, epoch))
        if stream is not None:
            (stream.have if kind == _HAVE else stream.never).add(first, last)
    for stream in ledger.streams.values():
        stream.close(stream.closed_end, 0)
    return ledger
