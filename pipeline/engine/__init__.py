"""When things run: tasks, the plan, the run. Knows no model and no Hub."""
