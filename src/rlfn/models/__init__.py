"""What a model is: networks by name, packaged weights, and what the runtime must know. No torch."""
