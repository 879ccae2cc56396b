# The rest are cargo aliases: .cargo/config.toml.
.PHONY: test simulate ordeal demo image testbed bench-landing bench-kustomize bench-helm bench-sops

# Installs and builds what is missing, starts the testbed, runs every check and test.
test:
	@tests/run.sh

# Random repositories, commits and faults in memory, of all themes in turn: SEEDS of them, from FROM. One that breaks a rule is made small and told.
simulate:
	@SEEDS=$(or $(SEEDS),1000000) FROM=$(or $(FROM),0) cargo test --quiet --release -p apply --test simulation -- --nocapture no_story

# Kills, freezes, full disks and a bad network on the testbed, as often as is said, or as one SEED had it: tests/ordeal.rs.
ordeal:
	@KILLS=$(or $(KILLS),300) COMPONENTS=$(or $(COMPONENTS),30) REPLICAS=$(or $(REPLICAS),10) CUT=$(or $(CUT),12) FULL=$(or $(FULL),6) SEED=$(SEED) \
	cargo test --quiet --test ordeal -- --include-ignored --nocapture

demo:
	@cargo run --release -- demo

# Builds the image into target/image, and pushes it to where IMAGE says: deploy/image.sh tells how.
image:
	@deploy/image.sh build target/image
ifdef IMAGE
	@deploy/image.sh push target/image $(IMAGE)
endif

# Starts a testbed to use by hand, until Ctrl-D.
testbed:
	@tests/testbed/up.sh

# How the agent lands a thousand units, beside bare server-side apply: tests/bench/README.md. ARGS go to landing.py.
bench-landing:
	@cargo build --profile dist
	@mkdir -p target/bench
	@WORK=$${WORK:-target/bench} python3 tests/bench/landing.py --binary $$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/dist/lockstep $(ARGS)

# The kustomize engine beside the original's library and command, outputs compared: tests/bench/kustomize.py tells more.
bench-kustomize:
	@python3 tests/bench/kustomize.py $(ARGS)

# The Helm engine beside the original's engine and command, outputs compared: tests/bench/helm.py tells more.
bench-helm:
	@python3 tests/bench/helm.py $(ARGS)

# Decryption beside the original's library in a loop and its command, plaintexts compared: tests/bench/sops.py tells more.
bench-sops:
	@python3 tests/bench/sops.py $(ARGS)
