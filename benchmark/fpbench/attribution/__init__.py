"""A fitted method on images of unknown origin: one source, several, or none, with a stated error.

`fitting` makes a model folder, `model` reads it; `reading` and `judging` take images through it,
`facts` says what their files show beside, and `report` writes a page for people.
"""
