"""The built-in methods of fpbench, each a plugin like anybody else's."""
