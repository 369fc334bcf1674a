"""`make bench`: transport, negatives, training and steps, one after the other."""

from benchmarks import negatives, steps, training, transport

for benchmark in (transport, negatives, training, steps):
    print(f"\n== {benchmark.__name__}: {(benchmark.__doc__ or '').splitlines()[0]}")
    benchmark.main()
