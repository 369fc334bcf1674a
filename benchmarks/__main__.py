"""`make bench`: every measurement, one after the other."""

from benchmarks import negatives, steps, training, transport

for measurement in (transport, negatives, training, steps):
    print(f"\n== {measurement.__name__}: {(measurement.__doc__ or '').splitlines()[0]}")
    measurement.main()
