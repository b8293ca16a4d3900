"""The supermarket model in SimPy, written as its users write models: a resource per backend, a process per call.

The standard library has no ChaCha8, so the numbers come from Python's own generator. The laws are the same, by
inversion; `calls`, `mean_s` and `p99_s` agree with the other tools within sampling error and not to the digit.
"""

import argparse
import json
import math
import random
import time

import simpy

BACKENDS = 100
RATE_PER_S = 90.0
SERVICE_MEAN_S = 1.0
WARMUP_S = 100.0


class Client:
    def __init__(self, env, seed):
        self.env = env
        self.rng = random.Random(seed)
        self.backends = [simpy.Resource(env, capacity=1) for _ in range(BACKENDS)]
        self.in_flight = [0] * BACKENDS
        self.calls = 0
        self.latencies = []

    def arrivals(self):
        while True:
            yield self.env.timeout(self.exponential(1.0 / RATE_PER_S))
            self.calls += 1
            self.env.process(self.call(self.pick(), self.exponential(SERVICE_MEAN_S)))

    def call(self, backend, demand):
        started = self.env.now
        self.in_flight[backend] += 1
        with self.backends[backend].request() as turn:
            yield turn
            yield self.env.timeout(demand)
        self.in_flight[backend] -= 1
        if started >= WARMUP_S:
            self.latencies.append(self.env.now - started)

    def pick(self):
        """The one of two distinct backends with fewer calls in flight, the first on a tie."""
        a = int(self.rng.random() * BACKENDS)
        b = int(self.rng.random() * (BACKENDS - 1))
        if b >= a:
            b += 1
        return b if self.in_flight[b] < self.in_flight[a] else a

    def exponential(self, mean):
        # One minus the number, because random() may be 0 and is never 1.
        return -math.log(1.0 - self.rng.random()) * mean


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--duration-s", type=float, default=1000.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.duration_s <= WARMUP_S:
        parser.error(f"--duration-s must be above the warm-up of {WARMUP_S:g} s")

    before = time.process_time()
    env = simpy.Environment()
    client = Client(env, arguments.seed)
    env.process(client.arrivals())
    env.run(until=arguments.duration_s)
    client.latencies.sort()
    measured = len(client.latencies)
    mean = math.fsum(client.latencies) / measured
    p99 = client.latencies[math.ceil(0.99 * measured) - 1]
    cpu = time.process_time() - before

    line = {"tool": "simpy", "calls": client.calls, "cpu_s": round(cpu, 6)}
    print(json.dumps(line | {"mean_s": round(mean, 9), "p99_s": round(p99, 9)}))


if __name__ == "__main__":
    main()
