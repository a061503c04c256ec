"""Boards and results on the Hugging Face Hub."""
