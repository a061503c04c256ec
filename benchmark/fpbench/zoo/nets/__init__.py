"""Networks of the zoo; every builder returns the named parts of one generative model."""
