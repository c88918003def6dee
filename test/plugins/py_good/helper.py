"""Has a neighbour of the same name in py_neighbour."""

NAME = "py_good"
