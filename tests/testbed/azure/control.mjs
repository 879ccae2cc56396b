// What both stand-ins share: injected faults, the log of requests, and who an application is. Everything is kept by a key (the
// vault's host, the application's client id), so that tests which share a testbed do not see one another.
//
// Control (plain HTTP on loopback): PUT /faults/KEY [rule...] replaces the rules, GET /faults/KEY shows what is left of them,
//   GET /log/KEY lists the requests since the last DELETE /log/KEY.
// Rule: {method?, path? (regular expression), times? (default: always), delayMs?, status?, retryAfter?, cut?: "before"|"inside"}
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

export class Control {
  #faults = new Map();
  #logs = new Map();

  // Takes the first rule that matches, and counts it.
  fault(key, req) {
    const matches = (rule) => rule.times !== 0 && (!rule.method || rule.method === req.method) && (!rule.path || new RegExp(rule.path).test(req.url));
    const rule = this.#faults.get(key)?.find(matches);
    if (rule?.times) rule.times -= 1;
    return rule;
  }

  log(key, entry) {
    if (!this.#logs.has(key)) this.#logs.set(key, []);
    this.#logs.get(key).push(entry);
  }

  listen(port) {
    createServer(async (req, res) => {
      const body = []; for await (const part of req) body.push(part);
      const [, what, key] = req.url.split('/');
      if (what === 'faults' && req.method === 'PUT') this.#faults.set(key, JSON.parse(Buffer.concat(body).toString()));
      if (what === 'log' && req.method === 'DELETE') this.#logs.delete(key);
      res.end(JSON.stringify((what === 'log' ? this.#logs : this.#faults).get(key) ?? []));
    }).listen(port, '127.0.0.1');
  }
}

// The application with this client id as its file says now; undefined when there is none.
export function application(folder, clientId) {
  if (!/^[0-9a-f-]{36}$/.test(clientId ?? '')) return undefined;
  try {
    return JSON.parse(readFileSync(`${folder}/${clientId}.json`, 'utf8'));
  } catch (e) {
    if (e.code === 'ENOENT') return undefined;
    throw e;
  }
}
