# Sourced by up.sh: the stand-in for Vault's transit engine, whose token is `testbed`. It forgets its keys when it is killed.
part transit "$data/bin/transit" -listen "127.0.0.1:$((port + 23))" -token testbed -accounts "$data/pki/sa.pub" \
  -tls "127.0.0.1:$((port + 26))" -cert "$data/pki/clouds.crt" -key "$data/pki/clouds.key"
