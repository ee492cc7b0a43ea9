"""Training: data, losses, optimisers, schedules, recipes and the loop."""
