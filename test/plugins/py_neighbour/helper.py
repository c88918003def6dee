"""Has a neighbour of the same name in py_good."""

NAME = "py_neighbour"
