"""All text that pictures carry: names of metrics, equations, hints, descriptions."""
