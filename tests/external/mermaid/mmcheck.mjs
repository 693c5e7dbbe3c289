// Reads a JSON array of Mermaid texts from stdin, writes what the real parser makes of each:
// { ok, error } or { ok, actors: [{ text, type }], messages: [{ from, to, text }], notes: [text] }.
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!DOCTYPE html><body></body>");
globalThis.window = window;
globalThis.document = window.document;

const { default: mermaid } = await import("mermaid");
mermaid.initialize({ startOnLoad: false, maxTextSize: 10_000_000 });

// Mermaid keeps entities in a form of its own while it works on a text.
const plain = (text) =>
  (text ?? "").replace(/ﬂ°°(\d+)¶ß/g, (_, code) => String.fromCodePoint(Number(code)));

async function read(text) {
  const { db, type } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const all = db.getMessages();
  return {
    ok: true,
    type,
    title: plain(db.getAccTitle()),
    description: plain(db.getAccDescription()),
    actors: [...db.getActors().values()].map((a) => ({ text: plain(a.description), type: a.type })),
    messages: all
      .filter((m) => m.from !== undefined && m.to !== undefined && m.placement === undefined)
      .map((m) => ({ from: m.from, to: m.to, text: plain(m.message) })),
    notes: all.filter((m) => m.placement !== undefined).map((m) => plain(m.message)),
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
