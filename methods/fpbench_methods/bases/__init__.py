"""What several methods share: their bases, and how fitted methods are kept."""
