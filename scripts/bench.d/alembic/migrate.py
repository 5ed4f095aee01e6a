"""alembic over many schemas, as a team would write it: processes that keep their connection.

migrate.py URL VERSIONS TO TENANTS PROCESSES
"""

import multiprocessing
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

url, versions, to, tenants, processes = sys.argv[1:]
connection = None


def connect():
    global connection
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    connection = engine.connect()


def migrate(schema):
    connection.execute(text(f'SET search_path TO "{schema}"'))
    connection.commit()
    connection.dialect.default_schema_name = schema
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", versions)
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, schema=schema)
    command.upgrade(config, to)
    connection.commit()


if __name__ == "__main__":
    schemas = Path(tenants).read_text().split()
    with multiprocessing.Pool(int(processes), initializer=connect) as pool:
        for _ in pool.imap_unordered(migrate, schemas):
            pass
