"""Figures and tables of the papers, reproduced: docs/reproductions.md says what is the same and what is not."""
