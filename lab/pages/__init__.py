"""The pages of the dashboard: each module has a function `page`, which draws it."""
