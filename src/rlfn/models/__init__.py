"""Models: the table of networks, packaged weights, and the traits that the runtime needs. No torch."""
