"""Boards: tables made from records, published anywhere, verified by anyone."""
