"""What a page shows: its tables, lines and cells, made once for every printer."""
