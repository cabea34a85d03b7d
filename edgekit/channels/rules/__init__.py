"""How channels pass through operators: a rule each.

An operator without a rule keeps all that it reads and makes whole, by name.
"""

from collections.abc import Mapping

from edgekit.channels.rules import elementwise, moves, products, recurrent, spatial
from edgekit.channels.site import Rule

ROWS: Mapping[str, Rule] = {
    name: rule for module in (elementwise, moves, products, recurrent, spatial) for name, rule in module.ROWS.items()
}
"""Rules by the operators' names in the schema."""
