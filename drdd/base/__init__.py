"""The base that ships: its weights, and what it was trained on."""
