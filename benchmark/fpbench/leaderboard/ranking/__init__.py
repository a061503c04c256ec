"""From records to rows and boards: seeds combined, rows compared and ranked."""
