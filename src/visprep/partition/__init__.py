"""Which record goes into which part: by a hash, or exactly; with classes spread evenly, and groups kept whole.

Numbers and names only: nothing here knows a file. The same records, parts and seed give the same answer, whatever the
order in which the records come.
"""

from visprep.partition.assigning import Assignment, assign
from visprep.partition.balance import Absent, Balance, measure
from visprep.partition.groups import join
from visprep.partition.parts import LEFT_OUT, Method, Part, Parts, check_method, parse_parts
from visprep.partition.population import Groups, Ints, Population

__all__ = [
    "LEFT_OUT",
    "Absent",
    "Assignment",
    "Balance",
    "Groups",
    "Ints",
    "Method",
    "Part",
    "Parts",
    "Population",
    "assign",
    "check_method",
    "join",
    "measure",
    "parse_parts",
]
