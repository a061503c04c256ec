"""Generative models, trained and sampled by one pipeline.

`table` lists them and imports no torch; `train` and `sample` are the pipeline; `nets` holds the
networks and `objectives` the losses. A row of the table is an architecture, a loss and design
choices; images, quantiser, seeds, weight averaging and checkpoints are the same for all rows, so
that what tells their images apart is the model and nothing else.
"""
