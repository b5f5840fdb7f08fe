"""Migrations, newest last; see ledger/migrate.py."""
