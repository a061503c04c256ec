"""Files by URL: had once, checked, kept by their SHA-256 and shared between datasets.

`fetch.fetch` is the way in: what is here is taken, the rest is asked for, politely, and goes on
where an earlier download was cut.
"""
