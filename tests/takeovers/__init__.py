"""A director dies or hands over while clients are connected: what they notice."""
