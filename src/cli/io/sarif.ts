// Findings in SARIF 2.1.0, as code hosts take them from CI (docs.oasis-open.org/sarif/sarif/v2.1.0).

export interface SarifFinding {
  readonly rule: string;
  readonly title: string;
  readonly help: string;
  readonly level: "error" | "warning" | "note";
  readonly message: string;
  readonly file: string;
  readonly line: number;
}

const SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json";
const INFORMATION = "https://github.com/railgate/railgate";

export function sarif(findings: readonly SarifFinding[], version: string): object {
  const rules = [...new Map(findings.map((finding) => [finding.rule, finding])).values()];
  const indices = new Map(rules.map(({ rule }, index) => [rule, index]));
  return {
    $schema: SCHEMA,
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "railgate",
            version,
            informationUri: INFORMATION,
            rules: rules.map(({ rule, title, help }) => ({
              id: rule,
              shortDescription: { text: title },
              help: { text: help },
            })),
          },
        },
        results: findings.map(({ rule, level, message, file, line }) => ({
          ruleId: rule,
          ruleIndex: indices.get(rule),
          level,
          message: { text: message },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: file.replaceAll("\\", "/") },
                region: { startLine: line },
              },
            },
          ],
        })),
      },
    ],
  };
}
