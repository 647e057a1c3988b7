"use strict";

// The endpoint of docs/conformance.md under stock OpenTelemetry. Whether a flag is proved is decided before this
// service, by its sidecar (docs/envoy.md); without one it is a forwarder, whatever it answers.
const http = require("node:http");
const { context, propagation } = require("@opentelemetry/api");

const HEADER = "x-tracer-bullet";
let written = 0;

// The run of the bullet that this request is, or null for a customer's.
function bulletOf(request) {
  const baggage = propagation.getBaggage(context.active());
  const token = request.headers[HEADER] ?? baggage?.getEntry("tb-token")?.value;
  if (token === undefined) return null;
  const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  return { run: claims.run, token };
}

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

const server = http.createServer(async (request, response) => {
  if (request.method === "GET") return answer(response, 200, { written });
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const wanted = JSON.parse(Buffer.concat(chunks).toString());
    const bullet = bulletOf(request);
    // OpenTelemetry carries baggage, tracestate and traceparent; our header it does not know.
    const headers = bullet && request.headers[HEADER] ? { [HEADER]: bullet.token } : {};
    await new Promise((done, failed) => {
      const call = http.get(wanted.forward_to, { headers }, (reply) => reply.resume().on("end", done));
      call.on("error", failed);
    });
    if (bullet) return answer(response, 200, { request_type: "TRACE", wrote: false, run: bullet.run });
    if (wanted.write) written += 1;
    return answer(response, 200, { request_type: "STANDARD", wrote: true });
  } catch (error) {
    return answer(response, 500, { error: String(error) });
  }
});

// Port 0 takes a free one; the line below says which.
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(`listening on ${server.address().port}`);
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    server.close();
    server.closeIdleConnections();
  });
}
