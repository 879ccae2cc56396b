# The rest are cargo aliases: .cargo/config.toml.
.PHONY: test demo image testbed

# Installs and builds what is missing, starts the testbed, runs every check and test.
test:
	@tests/run.sh

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
