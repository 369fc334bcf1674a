"""Right and wrong answers to the exercises, a file a chapter: at least two and ten of each."""
