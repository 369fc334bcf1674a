"""From a run directory to arrays: what every picture is made of."""
