"""Bring a database to the schema of this version of spandag."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from spandag.store import schema
from spandag.store.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config


class State(Enum):
    """What a database is to us."""

    EMPTY = auto()
    CURRENT = auto()
    OTHER_REVISION = auto()
    FOREIGN = auto()


def state_of(connection: Connection) -> State:
    """What a database is, found by plain SQL: Alembic takes long to import."""
    inspector = inspect(connection)
    if not inspector.has_table(schema.VERSION_TABLE):
        return State.FOREIGN if inspector.get_table_names() else State.EMPTY
    revision = connection.execute(text(f"SELECT version_num FROM {schema.VERSION_TABLE}")).scalar()
    if revision is None:
        return State.EMPTY
    return State.CURRENT if revision == schema.REVISION else State.OTHER_REVISION


def require_ours(state: State, label: str) -> None:
    """Refuse another program's database.

    Raises:
        StoreError: It is one.
    """
    if state is State.FOREIGN:
        raise StoreError(f"{label} is a database of another program; name another file with --store")


def upgrade(engine: Engine, label: str) -> None:
    """Create or upgrade the tables, in one transaction under the database's write lock.

    Args:
        engine: A writing engine.
        label: How messages name the database.

    Raises:
        StoreError: It is another program's, or was written by a newer version.
    """
    with engine.begin() as connection:
        # Looked at again under the lock: another process may have done it meanwhile.
        state = state_of(connection)
        require_ours(state, label)
        if state is State.CURRENT:
            return
        from alembic import command
        from alembic.util.exc import CommandError

        try:
            command.upgrade(alembic_config(connection), "head")
        except CommandError as error:
            raise StoreError(
                f"{label} was written by a newer version of spandag; upgrade with: pip install -U spandag"
            ) from error


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "spandag.store:migrations")
    config.attributes["connection"] = connection
    return config
