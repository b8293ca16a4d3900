#!/usr/bin/env python3
"""Runs the supermarket model in several tools, in turn, and prints what a call costs in each as a Markdown table.

Every tool is a command that ends by printing one JSON line with `calls` and, if it can, `cpu_s`, `mean_s` and `p99_s`.
Without `cpu_s` the CPU time of the whole process is taken, start-up included. The tools run interleaved, one round
after another, so that a disturbance meets all of them; a ratio is the median over the rounds of the ratio within one.
"""

import argparse
import json
import pathlib
import resource
import shlex
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
YARDSTICK = "floor"
# Seconds of virtual time that cost about a second of CPU time: 90 calls each.
DURATION_S = {"floor": 200_000, "nexosim": 10_000, "simpy": 1_000}


def main():
    arguments = parse()
    tools = commands(arguments)
    rounds = []
    for number in range(arguments.rounds):
        # Every other round backwards, so that no tool always follows the same one.
        order = list(tools) if number % 2 == 0 else list(reversed(tools))
        results = {name: measure(name, tools[name]) for name in order}
        rounds.append(results)
        costs = ", ".join(f"{name} {results[name]['ns']:.0f}" for name in tools)
        print(f"round {number + 1} of {arguments.rounds}, ns a call: {costs}", file=sys.stderr)
    print(table(list(tools), rounds))


def parse():
    parser = argparse.ArgumentParser(description="Cost of a simulated call in several tools, in CPU time.")
    parser.add_argument("--rounds", type=int, default=5, help="times each tool runs (default: 5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the virtual time of the built-in tools")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has SimPy (default: this one)")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME", help="leave out a built-in tool")
    parser.add_argument(
        "--tool",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="a further tool; {seed} in the command is replaced. May be repeated",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if YARDSTICK in arguments.skip:
        parser.error(f"{YARDSTICK} is what the others are compared with")
    for tool in arguments.tool:
        name, equals, command = tool.partition("=")
        if not (name and equals and command):
            parser.error(f"--tool {tool}: expected NAME=COMMAND")
        if name in DURATION_S:
            parser.error(f"--tool {tool}: {name} is built in")
    return arguments


def commands(arguments):
    tools = {
        "floor": [HERE / "floor/target/release/plimsoll-peer-floor"],
        "nexosim": [HERE / "nexosim/target/release/plimsoll-peer-nexosim"],
        "simpy": [arguments.python, HERE / "simpy/model.py"],
    }
    for name, command in tools.items():
        duration = max(round(DURATION_S[name] * arguments.scale), 200)
        command += ["--duration-s", duration, "--seed", arguments.seed]
    tools = {name: command for name, command in tools.items() if name not in arguments.skip}
    for tool in arguments.tool:
        name, _, command = tool.partition("=")
        tools[name] = shlex.split(command.replace("{seed}", str(arguments.seed)))
    return {name: [str(word) for word in command] for name, command in tools.items()}


def measure(name, command):
    before = children_cpu_s()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    except FileNotFoundError:
        sys.exit(f"{name}: no program {command[0]}; see README.md for how to build it")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name}: {shlex.join(command)} ended with status {error.returncode}")
    process_cpu_s = children_cpu_s() - before
    result = last_json_line(done.stdout)
    if not result or not result.get("calls"):
        sys.exit(f"{name}: {shlex.join(command)} printed no JSON line with `calls`")
    result.setdefault("cpu_s", process_cpu_s)
    result["ns"] = result["cpu_s"] / result["calls"] * 1e9
    return result


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def last_json_line(text):
    for line in reversed(text.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


def table(names, rounds):
    head = ["tool", "calls a run", "calls a CPU second", "ns a call", "lowest – highest", f"speed, {YARDSTICK} = 1"]
    head += ["mean s", "p99 s"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name in names:
        results = [results[name] for results in rounds]
        costs = [result["ns"] for result in results]
        ratio = statistics.median(results[YARDSTICK]["ns"] / results[name]["ns"] for results in rounds)
        rows.append(
            [
                name,
                f"{results[0]['calls']:,}",
                f"{1e9 / statistics.median(costs):,.0f}",
                f"{statistics.median(costs):,.1f}",
                f"{min(costs):,.1f} – {max(costs):,.1f}",
                f"{ratio:.3g}",
                seconds(results[0].get("mean_s")),
                seconds(results[0].get("p99_s")),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def seconds(value):
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
