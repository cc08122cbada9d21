"""What makers of lvskit run on their own machines.

docs    writes the files that are generated from the code
"""

import lab  # noqa: F401  makes lvskit's module_utils known to Python
