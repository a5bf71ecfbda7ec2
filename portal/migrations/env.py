"""Runs migrations on the application's own engine; called by `portal upgrade` and Flask-Migrate."""

from alembic import context
from flask import current_app

from portal.database import writing

database = current_app.extensions["migrate"].db


def run() -> None:
    engine = writing(database.engine)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
