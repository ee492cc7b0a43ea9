"""Training pictures: packs, crops and degradations. No torch."""
