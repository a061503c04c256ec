"""Records, cards and published numbers on disk: where they lie, and which are sound."""
