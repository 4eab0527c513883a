"""The base that ships: what it was trained on."""
