"""What is behind sweep: the file of rows, the plan, workers and progress."""
