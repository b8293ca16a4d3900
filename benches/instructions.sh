#!/usr/bin/env bash
# Instructions per simulated call, which do not depend on what else the machine does. Fails when they have grown by
# more than 3 % over benches/instructions.txt; `benches/instructions.sh --record` writes that file anew.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is needed: install it with the system's package manager"; exit 5; }
binary=$(cargo bench --bench engine --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*engine-[^"]*\)".*/\1/p' | tail -n 1)
out=$(mktemp)
trap 'rm -f "$out" "$out.cg"' EXIT
valgrind --tool=callgrind --callgrind-out-file="$out.cg" "$binary" instructions >"$out" 2>"$out.cg.log" || { cat "$out.cg.log"; exit 1; }
calls=$(head -n 1 "$out")
total=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out.cg.log")
rm -f "$out.cg.log"
now=$((total / calls))
if [ "${1:-}" = --record ]; then
  echo "$now" >benches/instructions.txt
  echo "recorded: $now instructions per call"
  exit 0
fi
before=$(cat benches/instructions.txt)
limit=$((before * 103 / 100))
echo "instructions per call: $now (recorded $before, limit $limit)"
[ "$now" -le "$limit" ] || { echo "FAIL: more than 3 % above the record"; exit 3; }
