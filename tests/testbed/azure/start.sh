# Sourced by up.sh: the Key Vault stand-in behind its proxy, the Entra stand-in, and the proxy that maps real names to them.
# DATA/applications/<client id>.json says who an application is: {objectId, secret?, certificates: [PEM]?, federated: [{issuer, subject, audience}],
# vaults: [host]}. Both stand-ins read it at each request, so a test adds an identity by writing a file.
authority=https://login.microsoftonline.com
tenant=11111111-1111-1111-1111-111111111111
mkdir -p "$data/applications"
cat > "$data/applications/22222222-2222-2222-2222-222222222222.json" <<J
{"objectId": "33333333-3333-3333-3333-333333333333", "secret": "s3cret", "vaults": ["kv1.vault.azure.net"],
  "federated": [{"issuer": "https://127.0.0.1:$port", "subject": "system:serviceaccount:default:lockstep", "audience": "api://AzureADTokenExchange"}]}
J
cat > "$data/azure.json" <<J
{"tls": {"key": "$data/pki/azure.key", "cert": "$data/pki/azure.crt"}, "applications": "$data/applications",
  "authority": "$authority", "tenant": "$tenant", "audience": "https://vault.azure.net",
  "entra": {"port": $((port + 11)), "control": $((port + 15)), "key": "$data/entra.jwk"},
  "vault": {"port": $((port + 12)), "control": $((port + 13)), "upstream": "http://127.0.0.1:$((port + 10))"}}
J
part keyvault "$data/bin/keyvault" -listen "127.0.0.1:$((port + 10))"
part entra env "NODE_EXTRA_CA_CERTS=$data/pki/ca.crt" node "$data/bin/entra.mjs" "$data/azure.json"
part vault-proxy env "NODE_EXTRA_CA_CERTS=$data/pki/ca.crt" node "$data/bin/vault-proxy.mjs" "$data/azure.json"
part names node "$data/bin/names.mjs" $((port + 14)) "login.microsoftonline.com=$((port + 11))" ".vault.azure.net=$((port + 12))" \
  "github.com=$((port + 20))" "charts.example.com=$((port + 20))" "ghcr.io=$((port + 22))" ".googleapis.com=$((port + 25))" ".amazonaws.com=$((port + 25))"
