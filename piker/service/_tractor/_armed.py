"""Arms a child's guards by being imported; nothing else may import it.

A forked child has the rest of the seam from its fork server, imported before it was.
"""

from ._guard import arm_when_child

arm_when_child()
