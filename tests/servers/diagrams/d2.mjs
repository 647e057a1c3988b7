// D2 sources (a JSON list on stdin) through D2's own compiler: shapes and connections of each, or its error.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const at = `${process.argv[2]}/node_modules/@terrastruct/d2/dist/node-esm/index.js`;
const { D2 } = await import(pathToFileURL(at));
const d2 = new D2();
const results = [];
for (const source of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const { diagram } = await d2.compile(source, { layout: "dagre" });
    results.push({
      shapes: diagram.shapes.map((s) => ({ id: s.id, label: s.label, type: s.type })),
      connections: (diagram.connections ?? []).map((c) => ({ src: c.src, dst: c.dst, label: c.label })),
    });
  } catch (error) {
    results.push({ error: String(error.message ?? error) });
  }
}
process.stdout.write(JSON.stringify(results), () => process.exit(0));
