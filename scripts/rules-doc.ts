// Writes docs/rules.md: the reference of every rule, for the person whose workload was refused and for the one who sets policy.
import type { Rule } from "../src/workshop/annotations.ts";

const SUBJECTS: [prefix: string, heading: string, intro: string][] = [
  ["railgate.refusal.declaration", "Declaration", "What every workload declares before anything else can be judged."],
  ["railgate.refusal.container", "Container", "Asked of the envelope kind `container`."],
  ["railgate.refusal.vm", "Virtual machine", "Asked of the envelope kind `vm`."],
  ["railgate.refusal.attestation", "Attestation", "Asked of `vm`, where an attestation is given, and of `tee`."],
  ["railgate.refusal.supply", "Supply chain", "Asked of every known envelope kind."],
  ["railgate.refusal.dependency", "Dependencies", "Asked of every known envelope kind."],
  ["railgate.refusal.residency", "Jurisdiction and residency", "Asked of every workload."],
  ["railgate.refusal.tenancy", "Tenant isolation", "Asked of every workload."],
  ["railgate.refusal.authority", "Authority", "Asked of every workload."],
  ["railgate.refusal.freshness", "Freshness and partition", "Asked of every workload."],
  ["railgate.refusal.host", "Said by the host", "No policy can say these of itself."],
  ["railgate.lifecycle", "Lifecycle", "Asked of each step in a workload's life."],
  ["railgate.mesh", "Isolation mesh", "Asked of each mesh command."],
  [
    "railgate.reconciliation",
    "Reconciliation",
    "Asked when a partition ends, and where nodes have decided differently.",
  ],
  ["railgate.kubernetes", "Kubernetes", "Asked of each Pod or pod template."],
  ["railgate.extensions", "Extensions", "Added by policy authors."],
];

export function rulesDoc(rules: readonly Rule[], settings: object): string {
  const sections = SUBJECTS.flatMap(([prefix, heading, intro]) => {
    const within = rules.filter((rule) => rule.package === prefix || rule.package.startsWith(`${prefix}.`));
    if (within.length === 0) return [];
    const ordered = within.toSorted((a, b) => (a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : a.row - b.row));
    return [`## ${heading}`, intro, ...ordered.map((rule) => ruleSection(rule, settings))];
  });
  return (
    [
      "<!-- Every rule of the law. Written by `npm run generate` from the METADATA in policy/: change it there. -->",
      "# Rules",
      "Each rule refuses on its own, and every rule that refuses is reported. Settings are in `policy/railgate/settings/data.json`; how to change them is in [policy.md](policy.md).",
      ...sections,
      "",
    ]
      .join("\n\n")
      .trimEnd() + "\n"
  );
}

function ruleSection(rule: Rule, settings: object): string {
  const steering = settingsNamed(`${rule.description} ${rule.message} ${rule.solution}`);
  const lines = [
    `### ${rule.rule}: ${rule.title}`,
    `Code \`${rule.code}\`, class \`${rule.class}\`, in [${rule.file.replace("policy/railgate/", "")}](../${rule.file}).`,
    rule.description && `**Rule:** ${rule.description}`,
    `**Refusal:** ${rule.message}`,
    `**What to do:** ${rule.solution}`,
    steering.length > 0 && `**Settings:** ${steering.map((path) => settingLine(path, settings)).join("; ")}`,
    rule.source && `**Source:** ${rule.source}`,
  ];
  return lines.filter(Boolean).join("\n\n");
}

function settingsNamed(text: string): string[] {
  const names = [...text.matchAll(/settings(?:\.[a-z_]+)+/g)].map(([name]) => name);
  return [...new Set(names)].sort();
}

/** The setting with its default, where that is short enough to read in a line. @throws Error where there is no such setting. */
function settingLine(path: string, settings: object): string {
  let value: unknown = { settings };
  for (const member of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[member];
  if (value === undefined)
    throw new Error(`a rule's text names ${path}, which is not in policy/railgate/settings/data.json`);
  const listed =
    typeof value === "object" && value !== null && Object.values(value).every((item) => item === true)
      ? Object.keys(value).join(", ")
      : JSON.stringify(value);
  return listed.length > 160 || listed === "" ? `\`${path}\`` : `\`${path}\` = ${listed}`;
}
