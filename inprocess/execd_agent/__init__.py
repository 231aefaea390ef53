"""The agent: the code that execd runs inside a target. It uses what every interpreter has built in, and little else."""
