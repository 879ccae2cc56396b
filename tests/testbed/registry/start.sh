# Sourced by up.sh: the OCI registry, over TLS, for user flux with password secret. It forgets everything when it is killed.
part registry "$data/bin/oci" -listen "127.0.0.1:$((port + 22))" -user flux:secret -cert "$data/pki/sources.crt" -key "$data/pki/sources.key"
