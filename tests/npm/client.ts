// What clients in TypeScript write: the compiler takes all of it, and refuses each line
// that follows a @ts-expect-error. contract.ts is generated from the OpenAPI document.
import type { components, operations } from "./contract";

type Schemas = components["schemas"];
type List = operations["statuses_index"];
type Update = operations["statuses_update"];

export const query: NonNullable<List["parameters"]["query"]> = {
  type: "O",
  status: "P,C",
  page: 1,
  "params[color]": "#97cf4d",
  "params[payment_received]": "Y",
};
// @ts-expect-error: a param is text
query["params[notify]"] = true;

export const created: Schemas["StatusBody"] = {
  description: "Packed",
  is_default: false,
  params: { color: "#97cf4d", notify: true, sort: 5, repay: null },
};
// @ts-expect-error: the description is required
export const nameless: Schemas["StatusBody"] = { params: {} };

export const form: Schemas["StatusForm"] = {
  description: "Packed",
  "params[color]": "#97cf4d",
  "params[sort]": "5",
};
// @ts-expect-error: a form has nothing but text
form["params[sort]"] = 5;

export const parts: Schemas["ChangesMultipart"] = { "params[notify]": "N" };

export const update: Update["requestBody"]["content"] = {
  "application/json": { description: "Test" },
  "text/json": { params: { color: null } },
  "application/x-www-form-urlencoded": { description: "Test", "params[notify]": "N" },
  "text/plain": "description=Test",
  "multipart/form-data": parts,
};

export const texts: Schemas["StoreTextsBody"] = { email_subj: null, lang_code: "ru" };

export function colours(
  list: List["responses"][200]["content"]["application/json"],
): (string | undefined)[] {
  return list.map((status) => status.params["color"]);
}

export function explain(error: Schemas["Error"]): string {
  return `${error.status}: ${error.message} ${Object.keys(error.errors ?? {}).join()}`;
}
