"""How steps are performed."""
