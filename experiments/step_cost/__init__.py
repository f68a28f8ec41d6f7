"""What a step costs, and what is added to it; see `experiments.step_cost.__main__`."""
