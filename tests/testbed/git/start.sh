# Sourced by up.sh: Git over https with basic auth and push (lighttpd and git http-backend), Git over ssh (sshd and git-shell),
# and static Helm repositories: DATA/charts/ at /charts/, and with the same user at /private-charts/.
# Repositories: DATA/repos/<owner>/<name>, bare. User flux, password secret; ssh key DATA/ssh/client.
mkdir -p "$data"/{repos,charts,ssh}
echo 'flux:secret' > "$data/git.users"
cat > "$data/lighttpd.conf" <<C
server.bind = "127.0.0.1"
server.port = $((port + 20))
server.document-root = "$data"
server.modules = ("mod_openssl", "mod_setenv", "mod_alias", "mod_auth", "mod_authn_file", "mod_cgi")
server.feature-flags = ("server.h2proto" => "enable")
ssl.engine = "enable"
ssl.pemfile = "$data/pki/sources.crt"
ssl.privkey = "$data/pki/sources.key"
mimetype.assign = ("" => "application/octet-stream")
auth.backend = "plain"
auth.backend.plain.userfile = "$data/git.users"
\$HTTP["url"] !~ "^/charts/" {
  auth.require = ("" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
}
\$HTTP["url"] =~ "^/private-charts/" {
  alias.url = ("/private-charts/" => "$data/charts/")
}
\$HTTP["url"] !~ "^/(private-)?charts/" {
  alias.url = ("/" => "$(git --exec-path)/git-http-backend/")
  cgi.assign = ("" => "")
  setenv.add-environment = ("GIT_PROJECT_ROOT" => "$data/repos", "GIT_HTTP_EXPORT_ALL" => "1")
}
C
part git lighttpd -D -f "$data/lighttpd.conf"

ssh-keygen -q -t ed25519 -N '' -f "$data/ssh/host"
ssh-keygen -q -t ed25519 -N '' -f "$data/ssh/client"
printf 'command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict %s\n' "$(cat "$data/ssh/client.pub")" > "$data/ssh/authorized_keys"
chmod 700 "$data/ssh"; chmod 600 "$data/ssh/authorized_keys"
printf '[127.0.0.1]:%s %s\n' "$((port + 21))" "$(cut -d' ' -f1,2 "$data/ssh/host.pub")" > "$data/ssh/known_hosts"
mkdir -p /run/sshd # its privilege separation needs root
part ssh /usr/sbin/sshd -D -e -p "$((port + 21))" -h "$data/ssh/host" -o ListenAddress=127.0.0.1 -o UsePAM=no -o PasswordAuthentication=no \
  -o StrictModes=no -o PidFile=none -o AuthorizedKeysFile="$data/ssh/authorized_keys" -f /dev/null
