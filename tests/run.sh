#!/usr/bin/env bash
# The test command: checks, builds and runs everything, on a machine that has Rust, Go, Node, Python and Debian's packages.
# Goes on after a failure, names all failures at the end, and exits with 1 if there are any.
set -uo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/tmp
mkdir -p "$work"; rm -rf "$work"/{corpus,tests.log}
failed=()
[ "${CI:-}" = true ] && export CARGO_INCREMENTAL=0 # nobody builds this checkout again

# step NAME COMMAND...: runs it under a headline, and keeps its name if it fails.
step() {
  local name=$1 began=$SECONDS; shift
  echo; echo "== $name"
  if "$@"; then echo "== $name passed after $((SECONDS - began)) s"; else failed+=("$name"); echo "== $name FAILED"; return 1; fi
}

# The components take longest when nothing is cached: they are built beside everything else, and give way to it.
nice tests/testbed/install.sh >"$work/components.log" 2>&1 && nice tests/testbed/build.sh "$work/tools" cargo-deny testbed tools >>"$work/components.log" 2>&1 &
components=$!
built() { wait "$components" || { tail -n 40 "$work/components.log"; return 1; }; }

# Advisories need a database that cannot be fetched everywhere: they are checked where `cargo deny fetch` has fetched it.
dependencies() {
  local checks=(bans licenses sources)
  if ls -d "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/ >/dev/null 2>&1; then checks+=(advisories); else echo "advisories are NOT checked: no database on this machine (cargo deny fetch)"; fi
  cargo fetch --quiet --locked # also what other systems need, which no build has downloaded
  PATH=$work/tools:$PATH cargo deny --offline --workspace --log-level error check --hide-inclusion-graph "${checks[@]}"
}

tests() {
  coproc testbed { DATA=$work/testbed exec setsid tests/testbed/up.sh; } # not killed with us: it cleans up
  local ready
  if ! read -r _ ready <&"${testbed[0]}"; then echo "the testbed did not start"; return 1; fi
  export LOCKSTEP_TESTBED=${ready%/env}
  # Most of the long ones wait for a cluster: two for each core.
  export RUST_TEST_THREADS=$((2 * $(nproc)))
  # As many stories of the simulation as a bare `cargo test` has no time for.
  export SEEDS=10000
  # Examples in documentation apart: there `ignore` means what is no test.
  { cargo test --workspace --no-fail-fast --lib --bins --tests -- --include-ignored && cargo test --quiet --workspace --doc; } 2>&1 | tee "$work/tests.log"
}

corpus() {
  if [ -d "$work/corpus" ]; then cat "$work"/corpus/* | sort; else echo "no suite ran a case of the corpus"; fi
  [ -d ../shared/corpus ] || echo "CORPUS MISSING: ../shared/corpus is not there; only the project's own cases ran"
}

step format cargo fmt --all --check
step lint cargo clippy --quiet --workspace --all-targets -- -D warnings
step features cargo clippy --quiet --no-default-features --lib --bins -- -D warnings
step build cargo test --quiet --workspace --no-run && step components built && {
  step dependencies dependencies
  step tests tests
  step corpus corpus
}

echo
[ ${#failed[@]} -eq 0 ] && { echo "everything passed after $SECONDS s"; exit 0; }
grep -s '^test .*FAILED$' "$work/tests.log"
printf 'FAILED after %s s:' "$SECONDS"; printf ' %s' "${failed[@]}"; echo
echo "logs: $work/components.log, $work/testbed/log"
exit 1
