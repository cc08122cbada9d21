"""What other software takes away of lvskit's state on a host, and how the keeper puts it back."""

import lab  # noqa: F401  makes lvskit's module_utils known to Python
