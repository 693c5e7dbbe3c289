// Reads a JSON array of Mermaid flowcharts from stdin, writes what the real parser makes of each:
// { ok, error } or { ok, nodes: [text], groups: [text], edges: [{ from, to, text, stroke }] }.
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!DOCTYPE html><body></body>");
globalThis.window = window;
globalThis.document = window.document;

const { default: mermaid } = await import("mermaid");
mermaid.initialize({ startOnLoad: false, maxTextSize: 10_000_000, maxEdges: 100_000 });

// Mermaid keeps entities in a form of its own while it works on a text.
const plain = (text) =>
  (text ?? "").replace(/ﬂ°°(\d+)¶ß/g, (_, code) => String.fromCodePoint(Number(code)));

async function read(text) {
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const groups = db.getSubGraphs();
  const names = new Set(groups.map((group) => group.id));
  return {
    ok: true,
    nodes: [...db.getVertices().values()].filter((n) => !names.has(n.id)).map((n) => plain(n.text)),
    groups: groups.map((group) => plain(group.title)),
    edges: db.getEdges().map((e) => ({
      from: e.start, to: e.end, text: plain(e.text), stroke: e.stroke,
    })),
  };
}

let input = "";
process.stdin.setEncoding("utf-8");
for await (const part of process.stdin) input += part;
const answers = [];
for (const text of JSON.parse(input)) {
  try {
    answers.push(await read(text));
  } catch (error) {
    answers.push({ ok: false, error: String(error?.message ?? error) });
  }
}
process.stdout.write(JSON.stringify(answers));
