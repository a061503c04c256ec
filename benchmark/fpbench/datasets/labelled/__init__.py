"""Datasets of somebody else's layout: an image column and a label column, anywhere.

`dataset.LabelledDataset` is the way in: labels are read first, rows chosen, and only what holds
chosen rows is fetched.
"""
