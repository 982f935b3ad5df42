"""Studies: what is simulated beside what is predicted, judged and drawn."""
