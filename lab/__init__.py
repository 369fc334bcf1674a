"""The lab: all that people look at. It stands on `wcord`, which knows nothing of it.

- Pictures, pure functions: for notebooks and print `figures` and `illustrations` (matplotlib); for
  pages `charts`, `heat_maps`, `cloud_charts`, `sample_charts`, `joined`, `differences` (ECharts).
  Under both: `arrange`, `layouts`, `shapes`, `options`, `palette`. In words: `describe`,
  `equations`, `lookout`.
- A run that is looked at: `reading`, `registry`, `maps`, `sightings`, `pairing`, `batches`.
- Parts of pages: of the live page `panels`, `pictures`, `timeline`, `selection`, `sample`, `why`,
  `presenting`, `steering`, `starting`, `timing`, `loading`, `settings_text`; of the others
  `exporting`, `laboratory`, `stops` (the tour), `transporting`, `critics`, `drawing` (the
  playground); of all `address`, `echoes`, `redrawing`.
- Pages: `pages`, put together by `app.py`.
- Notebooks: `lesson`, `widgets`, `exercises`, and the tool that runs them, `notebooks`.
- Made once: `head_picture`, `make_demo`.
"""
