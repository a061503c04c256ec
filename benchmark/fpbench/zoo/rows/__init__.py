"""The rows of the zoo's table, one module per family."""
