# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as an operator gives them with -e: a string with commas, or a list."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from ansible.module_utils.lvs.contract.values import NAMES


class FilterModule:
    def filters(self):
        return {"lvs_names": NAMES.read}
