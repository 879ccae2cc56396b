// Lets clients use real host names against loopback servers, without /etc/hosts.
//
// An HTTP CONNECT proxy (set HTTPS_PROXY to it) that sends each known name to a loopback port and refuses all others, so that a
// test cannot leave the machine. TLS stays end to end: the server's certificate must carry the name.
// usage: node names.mjs PORT name=port [.suffix=port ...]
import { createServer } from 'node:http';
import { connect } from 'node:net';

const [port, ...rules] = process.argv.slice(2);
const table = rules.map((r) => r.split('='));
const target = (name) => table.find(([n]) => name === n || (n.startsWith('.') && name.endsWith(n)))?.[1];

createServer((req, res) => { res.writeHead(403); res.end('only CONNECT\n'); })
  .on('connect', (req, client, head) => {
    const to = target(req.url.replace(/:\d+$/, ''));
    if (!to) return client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const server = connect(Number(to), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n'); server.write(head); server.pipe(client); client.pipe(server);
    });
    server.on('error', () => client.destroy()); client.on('error', () => server.destroy());
  }).listen(Number(port), '127.0.0.1', () => console.log('names ready'));
