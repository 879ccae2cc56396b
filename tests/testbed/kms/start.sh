# Sourced by up.sh: the stand-in for AWS KMS. It forgets its keys when it is killed.
part kms "$data/bin/kms" -listen "127.0.0.1:$((port + 24))" -id AKIATESTBED -secret testbed
