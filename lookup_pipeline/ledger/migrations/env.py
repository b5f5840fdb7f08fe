"""What Alembic runs: migrate over the connection, and inside the transaction, that is given."""

from alembic import context

from lookup_pipeline.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's DDL is transactional when the driver does not interfere; see ledger/sqlite.py.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
