"""Makes the project's module_utils importable under the name they have in modules and plugins, and sets up hypothesis."""

from pathlib import Path

import ansible.module_utils
import hypothesis

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

# The time that an example takes, and that generating one takes, depends on what else the machine does: neither is a failure.
hypothesis.settings.register_profile("lvskit", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("lvskit")
