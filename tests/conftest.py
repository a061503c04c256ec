"""The plugin example is a package of its own, with tests that run where it is installed."""

collect_ignore = ["plugin_example"]
