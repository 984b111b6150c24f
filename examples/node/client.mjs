#!/usr/bin/env node
// A whole turn through `cas proxy`: a tool call is answered, the turn is steered, the outcome printed.
// Node alone, no packages. What happens is told on stdout, one JSON object a line.
//
//   node client.mjs [CAS [FLAG…]]        as in: node client.mjs cas --cwd /repo --read-only

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** One `cas proxy` and the app-server behind it. */
class Instance {
  #child;
  #ended;
  #lastSeq = 0;
  #nextRequest = 1;
  #waiting = new Map();
  #ready = deferred();

  /** Called with each `cas/fromServer` of kind `notification`. */
  onNotification = () => {};
  /** Called with each `cas/serverRequest`; what it returns is the result. */
  onServerRequest = (event) => {
    throw new Error(`nobody answers ${event.method} here`);
  };

  constructor(program, flags) {
    this.#child = spawn(program, ["proxy", ...flags], { stdio: ["pipe", "pipe", "inherit"] });
    this.#ended = Promise.race([
      once(this.#child, "close").then(([code]) => code ?? 1),
      once(this.#child, "error").then(([error]) => this.#fail(error)),
    ]);
    this.#ready.promise.catch(() => {});
    // What is written to an instance that has ended is lost; its requests are told so below.
    this.#child.stdin.on("error", () => {});
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#event(JSON.parse(line)));
    this.#child.on("close", (code, signal) => this.#fail(new Error(`cas proxy ended: ${signal ?? code}`)));
  }

  /** Settles once requests can be made (sooner is fine too: the proxy keeps them until then). */
  ready() {
    return this.#ready.promise;
  }

  /** Makes a request of the server; its result, or an error that names the method. */
  request(method, params) {
    const clientRequestId = `request-${this.#nextRequest++}`;
    const { promise, resolve, reject } = deferred();
    this.#waiting.set(clientRequestId, { method, resolve, reject });
    this.#send({ type: "cas/request", method, params, clientRequestId });
    return promise;
  }

  /** Ends the instance; its exit code. */
  close() {
    this.#send({ type: "cas/exit" });
    return this.#ended;
  }

  #send(command) {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  #event(event) {
    if (event.seq !== ++this.#lastSeq) {
      throw new Error(`event ${this.#lastSeq} is missing before ${event.seq}`);
    }
    switch (event.type) {
      case "cas/ready":
        return this.#ready.resolve(event);
      case "cas/fromServer":
        if (event.kind === "notification") this.onNotification(event);
        if (event.kind === "response") this.#response(event);
        return;
      case "cas/serverRequest":
        return this.#answer(event);
      case "cas/error":
        process.stderr.write(`${event.message}\n`);
    }
  }

  #response({ clientRequestId, msg }) {
    const waiting = this.#waiting.get(clientRequestId);
    if (!waiting) return; // The handshake's, or one that was sent raw.
    this.#waiting.delete(clientRequestId);
    if (msg.error) waiting.reject(new Error(`${waiting.method}: ${msg.error.message}`));
    else waiting.resolve(msg.result);
  }

  async #answer(event) {
    const { id } = event;
    try {
      this.#send({ type: "cas/respond", id, result: await this.onServerRequest(event) });
    } catch (error) {
      this.#send({ type: "cas/respond", id, error: { code: -32000, message: error.message } });
    }
  }

  #fail(error) {
    this.#ready.reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    return 1;
  }
}

function deferred() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  return it;
}

const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const [program = "cas", ...flags] = process.argv.slice(2);
const cas = new Instance(program, flags);
const { promise: completed, resolve: complete } = deferred();
const items = new Map();
let text = "";
let steer = null;

cas.onServerRequest = ({ method, msg }) => {
  if (method !== "item/tool/call") throw new Error(`${method} is not for this program`);
  const { tool, arguments: args } = msg.params;
  tell({ call: tool, arguments: args });
  return { success: true, contentItems: [{ type: "inputText", text: `sunny in ${args.city}` }] };
};

cas.onNotification = ({ method, threadId, turnId, msg: { params } }) => {
  switch (method) {
    case "item/agentMessage/delta":
      text += params.delta;
      // The first word of the answer: a good moment to say how it should go on.
      steer ??= cas
        .request("turn/steer", {
          threadId,
          expectedTurnId: turnId,
          input: [{ type: "text", text: "In one word, please." }],
        })
        .then((result) => tell({ steered: result.turnId }));
      return;
    case "item/started":
    case "item/completed":
      // A turn's own list of items may be empty, so they are collected; one that was steered away never completes.
      items.set(params.item.id, params.item);
      return;
    case "turn/completed":
      complete(params.turn);
  }
};

try {
  await cas.ready();
  const weather = {
    name: "weather",
    description: "The weather in a city.",
    inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  };
  const { thread } = await cas.request("thread/start", { dynamicTools: [weather] });
  tell({ thread: thread.id });
  const input = [{ type: "text", text: "What is the weather in Paris?" }];
  await cas.request("turn/start", { threadId: thread.id, input });
  const turn = await completed;
  await steer;
  tell({ status: turn.status, text, items: [...items.values()].map(({ type }) => type) });
} finally {
  process.exitCode = await cas.close();
}
