"""Where the images of a recipe come from: one file a kind, all named in `kinds`."""
