"""The course beyond its notebooks: site, slides, cheat sheet, and what lecturers keep back."""
