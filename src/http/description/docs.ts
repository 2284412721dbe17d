// The API reference for people: one page, made from the OpenAPI description, without scripts, fonts or anything from elsewhere.
import { hash } from "node:crypto";
import type { OpenApi, Operation } from "./openapi.ts";

export interface DocsPage {
  readonly html: string;
  /** Content-Security-Policy: nothing but the page's own style. */
  readonly policy: string;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #e0e3e8; --paper: #fff; --panel: #f6f7f9; --accent: #3451b2; --get: #18794e; --post: #3451b2; --put: #ad5700; --delete: #ce2c31; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #a7adb8; --line: #34383f; --paper: #16181c; --panel: #1e2126; --accent: #9eb1ff; --get: #63c8a0; --post: #9eb1ff; --put: #f5a45b; --delete: #ff9592; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; font: 1rem/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { background: var(--panel); border-radius: 4px; padding: .1em .3em; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; overflow-x: auto; margin: .5rem 0 0; }
pre code { padding: 0; background: none; overflow-wrap: normal; }
.page { display: grid; grid-template-columns: 17rem minmax(0, 1fr); max-width: 78rem; margin: 0 auto; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding: 2rem 1.25rem; border-right: 1px solid var(--line); font-size: .9rem; }
nav h2 { font-size: .75rem; text-transform: uppercase; letter-spacing: .06em; color: var(--soft); margin: 1.4rem 0 .4rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: .2rem 0; color: var(--ink); text-decoration: none; }
nav a:hover { color: var(--accent); }
main { padding: 2rem 2.5rem 6rem; min-width: 0; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
main > section > h2 { font-size: 1.35rem; margin: 3rem 0 .25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.soft { color: var(--soft); }
article { margin: 2rem 0 0; }
article h3 { font-size: 1.05rem; margin: 0; display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; }
article h3 code { background: none; padding: 0; font-size: 1rem; }
article p { margin: .35rem 0 0; max-width: 46rem; }
.method { font: 700 .75rem/1 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--paper); background: var(--get); border-radius: 4px; padding: .3em .5em; }
.post { background: var(--post); } .put { background: var(--put); } .delete { background: var(--delete); }
h4 { font-size: .8rem; color: var(--soft); margin: 1rem 0 .25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td { border-top: 1px solid var(--line); padding: .4rem .75rem .4rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; width: 1%; }
details { margin-top: .75rem; border: 1px solid var(--line); border-radius: 8px; padding: .5rem .9rem; }
summary { cursor: pointer; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9rem; }
@media (max-width: 52rem) { .page { display: block; } nav { position: static; max-height: 45vh; border-right: 0; border-bottom: 1px solid var(--line); } main { padding: 1.5rem 1.25rem 4rem; } }
@media print { nav { display: none; } .page { display: block; } }
`;

export function docsPage(api: OpenApi): DocsPage {
  const style = hash("sha256", STYLE, "base64");
  const body = `<div class="page">${navigation(api)}<main>${heading(api)}${api.tags.map((tag) => section(api, tag)).join("")}${shapes(api)}</main></div>`;
  return {
    html: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Railgate API</title><style>${STYLE}</style></head><body>${body}</body></html>`,
    policy: `default-src 'none';style-src 'sha256-${style}';base-uri 'none';form-action 'none';frame-ancestors 'none'`,
  };
}

type Entry = { readonly method: string; readonly path: string; readonly operation: Operation };

function entriesOf({ paths }: OpenApi, tag: string): Entry[] {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );
  return all.filter(({ operation }) => operation.tags.includes(tag));
}

function navigation(api: OpenApi): string {
  const groups = api.tags.map(({ name }) => {
    const links = entriesOf(api, name).map(
      ({ operation }) => `<li><a href="#${escape(operation.operationId)}">${escape(operation.summary)}</a></li>`,
    );
    return `<h2>${escape(name)}</h2><ul>${links.join("")}</ul>`;
  });
  return `<nav aria-label="Contents"><a href="#top"><strong>Railgate</strong></a>${groups.join("")}<h2>Shapes</h2><ul><li><a href="#shapes">All shapes</a></li></ul></nav>`;
}

function heading({ info }: OpenApi): string {
  const paragraphs = info.description.split("\n\n").map((text) => `<p>${marked(text)}</p>`);
  return `<h1 id="top">Railgate API</h1><p class="soft">Version ${escape(info.version)} · <a href="/openapi.json">openapi.json</a></p>${paragraphs.join("")}`;
}

function section(api: OpenApi, { name, description }: OpenApi["tags"][number]): string {
  return `<section><h2>${escape(name)}</h2><p class="soft">${marked(description)}</p>${entriesOf(api, name).map(article).join("")}</section>`;
}

function article({ method, path, operation }: Entry): string {
  const { operationId, summary, description, parameters = [], requestBody, responses } = operation;
  return [
    `<article id="${escape(operationId)}"><h3><span class="method ${escape(method)}">${escape(method.toUpperCase())}</span><code>${escape(path)}</code></h3>`,
    `<p><strong>${escape(summary)}.</strong> ${marked(description ?? "")}</p>`,
    parameters.length === 0
      ? ""
      : `<h4>Parameters</h4>${table(parameters.map((each) => [each.name, `${marked(each.description)} <span class="soft">${escape(typeText(each.schema))}</span>`]))}`,
    requestBody ? `<h4>Body</h4><p>${contentText(requestBody.content)}</p>` : "",
    `<h4>Answers</h4>${table(Object.entries(responses).map(([status, each]) => [status, `${marked(each.description)} ${each.content ? contentText(each.content) : ""}`]))}`,
    "</article>",
  ].join("");
}

function shapes({ components }: OpenApi): string {
  const all = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="shape-${escape(name)}"><summary>${escape(name)}</summary><pre><code>${escape(JSON.stringify(schema, null, 2))}</code></pre></details>`,
  );
  return `<section id="shapes"><h2>Shapes</h2><p class="soft">JSON Schema 2020-12; fields that are not named here are refused.</p>${all.join("")}</section>`;
}

function table(rows: readonly (readonly [string, string])[]): string {
  return `<div class="scroll"><table>${rows.map(([name, html]) => `<tr><td><code>${escape(name)}</code></td><td>${html}</td></tr>`).join("")}</table></div>`;
}

function contentText(content: { readonly [type: string]: { readonly schema: object } }): string {
  const parts = Object.entries(content).map(([type, { schema }]) => {
    const links = componentsIn(schema).map((name) => `<a href="#shape-${escape(name)}">${escape(name)}</a>`);
    return `<code>${escape(type)}</code>${links.length > 0 ? ` ${links.join(" or ")}` : ""}`;
  });
  return `<span class="soft">${parts.join(", ")}</span>`;
}

function componentsIn(schema: object): string[] {
  const { $ref, anyOf } = schema as { $ref?: string; anyOf?: object[] };
  return $ref === undefined ? (anyOf ?? []).flatMap(componentsIn) : [$ref.slice($ref.lastIndexOf("/") + 1)];
}

function typeText(schema: object): string {
  const { type, enum: values, minimum, maximum, default: byDefault, format } = schema as { [word: string]: unknown };
  const range = minimum === undefined ? "" : `, ${String(minimum)} to ${String(maximum)}`;
  const kind = Array.isArray(values) ? values.join(" | ") : `${String(format ?? type)}${range}`;
  return byDefault === undefined ? kind : `${kind}; default ${String(byDefault)}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character]!);

/** Text with `code` in it. */
const marked = (text: string): string => escape(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
