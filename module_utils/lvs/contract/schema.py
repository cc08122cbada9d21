"""The variables that files of an inventory may have, as a JSON Schema for editors."""

from __future__ import annotations

from typing import Any

from .key import described_schema
from .variables import IN_INVENTORIES, ONCE


def schema() -> dict[str, Any]:
    """The schema of one file of group_vars or host_vars. Variables that are not lvskit's may stand in it as well."""
    known = {name: one for name, one in IN_INVENTORIES.items() if name not in ONCE}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Variables of lvskit in group_vars and host_vars",
        "type": ["object", "null"],
        "properties": {name: described_schema(one) for name, one in known.items()},
        "propertyNames": {"anyOf": [{"enum": list(known)}, {"not": {"pattern": "^lvs_"}}]},
    }
