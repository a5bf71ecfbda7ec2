"""Conditions over a list of ids in statements that are built once: one parameter, however long the list is.

Written out as `IN (?, ?, …)` a list is expanded anew with each execution, which costs more than the rows it finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, any_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY


def is_among(id_column: Any, dialect: str) -> ColumnElement[bool]:
    """Whether the column is one of the statement's parameter `ids`, which is filled by `id_list`."""
    if dialect == "postgresql":
        among: ColumnElement[bool] = id_column == any_(bindparam("ids", type_=ARRAY(BigInteger)))
        return among
    listed = func.json_each(bindparam("ids")).table_valued(column("value", BigInteger))
    found: ColumnElement[bool] = id_column.in_(select(listed.c.value))
    return found


def id_list(ids: Iterable[int], dialect: str) -> Any:
    """The parameter for `is_among`."""
    return list(ids) if dialect == "postgresql" else json.dumps(list(ids))
