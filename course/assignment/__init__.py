"""An assignment of twenty points: the students' notebook, its checks, and a solution."""
