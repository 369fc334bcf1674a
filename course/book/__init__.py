"""The course as pages: notebooks as they are stored, with figures that move."""
