"""A trained model as a tool: load it, give it pictures, arrays or rows, and take codes, samples and exports away."""
