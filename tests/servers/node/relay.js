"use strict";

// Forwards every request to UPSTREAM_URL and returns the answer. Which headers go on is decided as
// plain services do it: content type and the body; whatever else travels, OpenTelemetry carries.
const http = require("node:http");

const upstream = new URL(process.env.UPSTREAM_URL);

const server = http.createServer((request, response) => {
  const headers = {};
  for (const name of ["accept", "content-type", "content-length"]) {
    if (request.headers[name] !== undefined) headers[name] = request.headers[name];
  }
  const call = http.request(new URL(request.url, upstream), { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] ?? "text/plain" });
    answer.pipe(response);
  });
  call.on("error", (error) => {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response.writeHead(502, { "content-type": "text/plain" });
    response.end(String(error.code ?? error.message));
  });
  request.pipe(call);
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
