# Sourced by up.sh: the stand-ins for AWS KMS and Google Cloud KMS, in the clear and by their real names. They forget their
# keys when they are killed. Google's service account `sops` has its key in DATA/pki/google.key.
openssl genrsa -out "$data/pki/google.key" 2048 2>/dev/null
openssl rsa -in "$data/pki/google.key" -pubout -out "$data/pki/google.pub" 2>/dev/null
part kms "$data/bin/kms" -listen "127.0.0.1:$((port + 24))" -tls "127.0.0.1:$((port + 25))" -cert "$data/pki/clouds.crt" -key "$data/pki/clouds.key" \
  -accounts "$data/pki/sa.pub" -google "$data/pki/google.pub"
