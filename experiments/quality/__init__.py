"""How good the samples are: recipes with mean and deviation over fresh seeds."""
