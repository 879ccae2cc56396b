// A TLS proxy before the Key Vault stand-in that checks access tokens, logs requests and injects faults.
//
// A token is accepted if Entra's published keys verify it; it may use the vaults that its application names.
// usage: node vault-proxy.mjs azure.json     (NODE_EXTRA_CA_CERTS must name the CA of the token endpoint)
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Control, application } from './control.mjs';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = `${config.authority}/${config.tenant}`;
const keySet = createRemoteJWKSet(new URL(`https://127.0.0.1:${config.entra.port}/${config.tenant}/discovery/v2.0/keys`), { cooldownDuration: 0 });
const challenge = { 'www-authenticate': `Bearer authorization="${issuer}", resource="${config.audience}"` };
const codes = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'SecretNotFound', 409: 'Conflict', 429: 'Throttled' };
const control = new Control();

function refuse(res, status, message, headers = {}) {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify({ error: { code: codes[status] ?? 'InternalServerError', message } }));
  return status;
}

// Answers one request, and returns its status or `cut`.
async function handle(host, req, res) {
  const fault = control.fault(host, req);
  if (fault?.delayMs) await sleep(fault.delayMs);
  if (fault?.cut === 'before') { req.socket.destroy(); return 'cut'; }
  if (fault?.status) return refuse(res, fault.status, 'injected fault', fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) });
  const bearer = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1];
  if (!bearer) return refuse(res, 401, 'AKV10000: Request is missing a Bearer or PoP token.', challenge);
  const verify = () => jwtVerify(bearer, keySet, { issuer: `${issuer}/v2.0`, audience: config.audience });
  // A connection of before Entra's restart fails once: that says nothing about the token.
  const again = (error) => { if (error.code?.startsWith('ERR_J')) throw error; return verify(); };
  let claims;
  try {
    ({ payload: claims } = await verify().catch(again));
  } catch (error) {
    return refuse(res, 401, `AKV10032: Invalid token: ${error.code}`, challenge);
  }
  if (!application(config.applications, claims.appid)?.vaults.includes(host)) {
    return refuse(res, 403, `Caller is not authorized to perform action on resource. Caller: appid=${claims.appid};oid=${claims.oid}; Vault: ${host}`);
  }
  return forward(req, res, fault?.cut === 'inside');
}

function forward(req, res, cut) {
  return new Promise((resolve) => {
    const { authorization, ...headers } = req.headers;
    const up = request(config.vault.upstream + req.url, { method: req.method, headers }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      if (cut) { // the head and half of the body leave, then the connection goes
        answer.once('data', (d) => { res.write(d.subarray(0, d.length / 2)); setTimeout(() => req.socket.destroy(), 20); });
        return resolve('cut');
      }
      answer.pipe(res);
      answer.on('end', () => resolve(answer.statusCode));
    });
    up.on('error', (error) => resolve(refuse(res, 502, error.message)));
    req.pipe(up);
  });
}

createServer({ key: readFileSync(config.tls.key), cert: readFileSync(config.tls.cert) }, async (req, res) => {
  const entry = { at: Date.now(), method: req.method, path: req.url };
  const host = (req.headers.host ?? '').replace(/:\d+$/, '');
  entry.status = await handle(host, req, res);
  control.log(host, entry);
}).listen(config.vault.port, '127.0.0.1', () => console.log('vault proxy ready'));
control.listen(config.vault.control);
