# Sourced by up.sh: etcd, API server, controller manager, scheduler, and kwok in the place of nodes.
pki=$data/pki
api=https://127.0.0.1:$port
post() { # path body
  curl -sf -o /dev/null --noproxy '*' --cacert "$pki/ca.crt" -H 'Authorization: Bearer admin-token' -H 'Content-Type: application/json' -d "$2" "$api$1"
}
node() { # name
  post /api/v1/nodes '{"apiVersion":"v1","kind":"Node","metadata":{"name":"'"$1"'","labels":{"kubernetes.io/hostname":"'"$1"'","kubernetes.io/os":"linux","kubernetes.io/arch":"amd64"}},
    "status":{"allocatable":{"cpu":"64","memory":"256Gi","pods":"500"},"capacity":{"cpu":"64","memory":"256Gi","pods":"500"}}}'
}

part etcd "$data/bin/testbed" etcd --data-dir "$data/etcd" --listen-client-urls "http://127.0.0.1:$((port + 1))" --listen-peer-urls "http://127.0.0.1:$((port + 2))"
part kube-apiserver env GOGC=200 "$data/bin/testbed" kube-apiserver --etcd-servers="http://127.0.0.1:$((port + 1))" \
  --bind-address=127.0.0.1 --secure-port="$port" --advertise-address=127.0.0.1 --endpoint-reconciler-type=none --cert-dir="$data/apiserver" \
  --tls-cert-file="$pki/kube-apiserver.crt" --tls-private-key-file="$pki/kube-apiserver.key" --client-ca-file="$pki/ca.crt" \
  --token-auth-file="$pki/tokens.csv" --authorization-mode=Node,RBAC --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true \
  --service-account-issuer="$api" --service-account-jwks-uri="$api/openid/v1/jwks" --api-audiences="$api,https://kubernetes.default.svc" \
  --service-account-signing-key-file="$pki/sa.key" --service-account-key-file="$pki/sa.pub" ${APISERVER_EXTRA:-}
# They wait for the API server by themselves. A create that is refused after its admission (the name is taken) stays in its quota's count
# until the controller counts again: every second here, not every five minutes.
part kube-controller-manager "$data/bin/testbed" kube-controller-manager --kubeconfig="$pki/admin.kubeconfig" --bind-address=127.0.0.1 \
  --secure-port=$((port + 3)) --cert-dir="$data/controllers" --leader-elect=false --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
  --kube-api-qps=1000 --kube-api-burst=2000 --resource-quota-sync-period=1s --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
part kube-scheduler "$data/bin/testbed" kube-scheduler --kubeconfig="$pki/admin.kubeconfig" --bind-address=127.0.0.1 \
  --secure-port=$((port + 4)) --cert-dir="$data/scheduler" --leader-elect=false --kube-api-qps=1000 --kube-api-burst=2000
ready kube-apiserver
# Anyone may read the token issuer's keys, as on a managed cluster: the Entra stand-in does.
post /apis/rbac.authorization.k8s.io/v1/clusterrolebindings '{"metadata":{"name":"oidc-public"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole",
  "name":"system:service-account-issuer-discovery"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:unauthenticated"}]}'
part kwok "$data/bin/kwok" --kubeconfig="$pki/admin.kubeconfig" --config="$here/control-plane/kwok-stages.yaml" --manage-all-nodes \
  --node-lease-duration-seconds=40 --server-address="127.0.0.1:$((port + 5))"
for n in $(seq "${NODES:-2}"); do node "node-$n"; done
