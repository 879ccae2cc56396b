// A stand-in for the Entra ID token endpoint that truly validates Kubernetes tokens.
//
// A client assertion is accepted only if its issuer, subject and audience match a federated credential of the application, and
// its signature and lifetime verify against the keys that the issuer publishes now; or if a certificate of the application has
// signed it. Refusals carry Entra's codes. Managed identities get their tokens here too, as App Service and instances give them.
// usage: node entra.mjs azure.json     (NODE_EXTRA_CA_CERTS must name the CA of the issuers)
import { X509Certificate, createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose';
import { Control, application } from './control.mjs';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = `${config.authority}/${config.tenant}/v2.0`;
const lifetime = 3599; // seconds, as Entra has it
const control = new Control();
const signingKey = await loadKey(config.entra.key);
const { kty, n, e } = signingKey;
const published = { keys: [{ kty, n, e, kid: 'testbed', alg: 'RS256', use: 'sig' }] };
const keySets = new Map(); // issuer -> remote JWKS

// The key outlives the process, as Entra's does: tokens stay valid when the stand-in is killed and started again.
async function loadKey(file) {
  if (!existsSync(file)) {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    writeFileSync(file, JSON.stringify(await exportJWK(privateKey)));
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}

class Refusal extends Error {
  constructor(code, error, text) { super(`AADSTS${code}: ${text}`); Object.assign(this, { code, error }); }
}

async function issuerKeys(url) {
  if (!keySets.has(url)) {
    const discovery = await (await fetch(`${url}/.well-known/openid-configuration`)).json();
    if (discovery.issuer !== url) throw new Refusal(500341, 'invalid_client', `discovery names issuer ${discovery.issuer}`);
    keySets.set(url, createRemoteJWKSet(new URL(discovery.jwks_uri), { cooldownDuration: 0 }));
  }
  return keySets.get(url);
}

async function token(form) {
  const clientId = form.get('client_id');
  const app = application(config.applications, clientId);
  if (!app) throw new Refusal(700016, 'unauthorized_client', `Application with identifier '${clientId}' was not found in the directory`);
  if (form.get('grant_type') !== 'client_credentials') throw new Refusal(70003, 'unsupported_grant_type', 'only client_credentials');
  await authenticate(app, form);
  const scope = (form.get('scope') ?? `${form.get('resource')}/.default`).split(' ').find((s) => s.endsWith('/.default'));
  if (!scope) throw new Refusal(70011, 'invalid_scope', `scope '${form.get('scope')}' is not valid`);
  return { token_type: 'Bearer', expires_in: lifetime, ext_expires_in: lifetime, access_token: await access(app, clientId, scope.slice(0, -'/.default'.length)) };
}

const access = async (app, clientId, audience) =>
  new SignJWT({ tid: config.tenant, appid: clientId, oid: app.objectId })
    .setProtectedHeader({ alg: 'RS256', kid: 'testbed', typ: 'JWT' }).setIssuer(issuer)
    .setAudience(audience).setSubject(app.objectId)
    .setIssuedAt().setNotBefore('0s').setExpirationTime(`${lifetime}s`).sign(await importJWK(signingKey, 'RS256'));

// A managed identity of App Service, or of an instance; the usual application where none is named.
async function managed(url, headers) {
  const of = { '/msi/token': ['x-identity-header', 'msi-testbed'], '/metadata/identity/oauth2/token': ['metadata', 'true'] }[url.pathname];
  if (headers[of[0]] !== of[1]) return [400, { error: 'invalid_request', error_description: `${of[0]} ${headers[of[0]]} is refused` }];
  const clientId = url.searchParams.get('client_id') ?? '22222222-2222-2222-2222-222222222222';
  const app = application(config.applications, clientId);
  if (!app) return [400, { error: 'invalid_request', error_description: 'Identity not found' }];
  const until = String(Math.floor(Date.now() / 1000) + lifetime);
  const token = await access(app, clientId, url.searchParams.get('resource'));
  return [200, { access_token: token, expires_on: until, expires_in: String(lifetime), resource: url.searchParams.get('resource'), token_type: 'Bearer', client_id: clientId }];
}

// An assertion that an application signs itself.
async function certified(app, clientId, assertion) {
  const header = decodeProtectedHeader(assertion);
  const is = (print, pem, hash) => print !== undefined && Buffer.from(print, 'base64').equals(createHash(hash).update(new X509Certificate(pem).raw).digest());
  const pem = app.certificates?.find((c) => is(header['x5t#S256'], c, 'sha256') || is(header.x5t, c, 'sha1'));
  if (!pem) throw new Refusal(700027, 'invalid_client', 'The certificate with identifier used to sign the client assertion is not registered on application.');
  const base = `${config.authority}/${config.tenant}/oauth2/v2.0/token`;
  await jwtVerify(assertion, new X509Certificate(pem).publicKey, { issuer: clientId, subject: clientId, audience: base, requiredClaims: ['exp', 'jti'] })
    .catch((error) => { throw new Refusal(700027, 'invalid_client', `Client assertion contains an invalid signature: ${error.code}`); });
}

async function authenticate(app, form) {
  if (form.has('client_secret')) { // a service principal
    if (app.secret && form.get('client_secret') === app.secret) return;
    throw new Refusal(7000215, 'invalid_client', 'Invalid client secret provided.');
  }
  const assertion = form.get('client_assertion');
  if (!assertion) throw new Refusal(7000218, 'invalid_client', "the request must contain 'client_assertion' or 'client_secret'");
  const claims = decodeJwt(assertion);
  if (claims.iss === form.get('client_id')) return certified(app, claims.iss, assertion);
  const trusted = (app.federated ?? []).filter((f) => f.issuer === claims.iss);
  if (!trusted.length) throw new Refusal(700211, 'invalid_client', `No matching federated identity record found for presented assertion issuer '${claims.iss}'`);
  const record = trusted.find((f) => f.subject === claims.sub);
  if (!record) throw new Refusal(700213, 'invalid_client', `No matching federated identity record found for presented assertion subject '${claims.sub}'`);
  if (![claims.aud].flat().includes(record.audience)) throw new Refusal(700212, 'invalid_client', `No matching federated identity record found for presented assertion audience '${claims.aud}'`);
  try {
    await jwtVerify(assertion, await issuerKeys(claims.iss), { issuer: claims.iss, audience: record.audience });
  } catch (error) {
    if (error.code === 'ERR_JWT_EXPIRED') throw new Refusal(700024, 'invalid_client', 'Client assertion is not within its valid time range');
    throw new Refusal(5002730, 'invalid_client', `Invalid JWT token: ${error.code ?? error.message}`);
  }
}

// Answers one token request with [status, body, headers]; undefined = the connection is cut.
async function answer(form, req) {
  const fault = control.fault(form.get('client_id'), req);
  if (fault?.delayMs) await sleep(fault.delayMs);
  if (fault?.cut) return undefined;
  if (fault?.status) {
    const headers = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) };
    return [fault.status, { error: 'temporarily_unavailable', error_description: 'AADSTS90033: injected fault', error_codes: [90033] }, headers];
  }
  try {
    return [200, await token(form)];
  } catch (error) {
    console.error(new Date().toISOString(), error.message);
    return [error.error === 'invalid_client' ? 401 : 400, { error: error.error ?? 'server_error', error_description: error.message, error_codes: [error.code] }];
  }
}

createServer({ key: readFileSync(config.tls.key), cert: readFileSync(config.tls.cert) }, async (req, res) => {
  const reply = (status, body, headers = {}) => { res.writeHead(status, { 'content-type': 'application/json', ...headers }); res.end(JSON.stringify(body)); };
  const { pathname } = new URL(req.url, config.authority);
  const base = `${config.authority}/${config.tenant}`;
  if (pathname.endsWith('/.well-known/openid-configuration')) {
    return reply(200, { issuer, token_endpoint: `${base}/oauth2/v2.0/token`, authorization_endpoint: `${base}/oauth2/v2.0/authorize`, jwks_uri: `${base}/discovery/v2.0/keys` });
  }
  if (pathname.endsWith('/discovery/v2.0/keys')) return reply(200, published);
  if (pathname.endsWith('/discovery/instance')) { // asked for by MSAL-based clients
    const { host } = new URL(config.authority);
    return reply(200, { tenant_discovery_endpoint: `${base}/v2.0/.well-known/openid-configuration`, 'api-version': '1.1',
      metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }] });
  }
  if (pathname === '/msi/token' || pathname === '/metadata/identity/oauth2/token') return reply(...await managed(new URL(req.url, config.authority), req.headers));
  if (req.method !== 'POST' || !pathname.startsWith(`/${config.tenant}/oauth2/`)) return reply(404, { error: 'not_found', error_description: pathname });
  const body = []; for await (const part of req) body.push(part);
  const form = new URLSearchParams(Buffer.concat(body).toString());
  const result = await answer(form, req);
  control.log(form.get('client_id'), { at: Date.now(), method: req.method, path: req.url, status: result?.[0] ?? 'cut' });
  if (result) reply(...result); else req.socket.destroy();
}).listen(config.entra.port, '127.0.0.1', () => console.log(`entra ready ${issuer}`));
control.listen(config.entra.control);
