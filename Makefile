# The rest are cargo aliases: .cargo/config.toml.
.PHONY: test demo testbed

# Installs and builds what is missing, starts the testbed, runs every check and test.
test:
	@tests/run.sh

demo:
	@cargo run --release -- demo

# Starts a testbed to use by hand, until Ctrl-D.
testbed:
	@tests/testbed/up.sh
