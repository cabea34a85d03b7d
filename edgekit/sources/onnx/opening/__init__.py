"""From the user's file to a model in memory whose inputs have fixed shapes, or a refusal that says what to give."""
