"""The boards as a static site: plain files that need no server, no network and no cookies."""
