// How a server of others is reached, as OPA's `services` say it: where, whom to trust there, and what to show it.

/** One of `services`. Paths are absolute. Source: OPA documentation, Configuration, "Services". */
export type ServiceAccess = {
  readonly name: string;
  /** Without a slash at its end. */
  readonly url: string;
  /** URL of the proxy by which it is asked; absent: it is asked directly. */
  readonly proxy?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly allowInsecureTls: boolean;
  readonly responseHeaderTimeoutS: number;
  readonly tls: { readonly caCert?: string; readonly systemCaRequired: boolean };
  readonly bearer?: { readonly token?: string; readonly tokenPath?: string; readonly scheme: string };
  readonly clientTls?: { readonly cert: string; readonly privateKey: string; readonly passphrase?: string };
};
